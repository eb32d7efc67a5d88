import { ABSENT } from "@/lib/format/numbers";
import { colorAt } from "./series";
import { type DrawnSeries } from "./uplot-options";

interface ChartLegendProps {
  drawn: readonly DrawnSeries[];
  /** Of each drawn series, at the crosshair. */
  values: readonly (number | null)[];
  /** Where the crosshair is. */
  at: string | null;
  formatY: (value: number) => string;
}

/** Names, colours and values; numbers have a fixed width so that nothing jumps while the pointer moves. */
export function ChartLegend({ drawn, values, at, formatY }: ChartLegendProps) {
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-1 text-xs">
      <ul className="flex flex-wrap gap-x-4 gap-y-1">
        {drawn.map((series, index) => {
          if (series.isFaint) return null;
          const value = values[index] ?? null;
          return (
            <li key={series.key} className="flex items-center gap-1.5">
              <span
                aria-hidden
                className={series.isDashed ? "w-4 border-t-2 border-dashed" : "w-4 border-t-2"}
                style={{ borderColor: `var(--chart-${colorAt(series, index)})` }}
              />
              <span className="text-muted-foreground">{series.label}</span>
              <span className="min-w-10 font-medium tabular-nums">{value === null ? ABSENT : formatY(value)}</span>
            </li>
          );
        })}
      </ul>
      {at && <span className="ml-auto text-muted-foreground tabular-nums">{at}</span>}
    </div>
  );
}
