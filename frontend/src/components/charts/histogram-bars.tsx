import { formatInteger } from "@/lib/format/numbers";
import { cn } from "../ui/cn";
import { type Bin } from "./bins";
import { type ChartColor } from "./series";

export interface HistogramBarsProps {
  /** What is counted: "Rows by length in tokens". */
  label: string;
  bins: readonly Bin[];
  /** Bins from this value on are drawn as cut off. */
  limit?: { at: number; label: string };
  formatEdge?: (value: number) => string;
  color?: ChartColor;
  className?: string;
}

/** Bars of equal width; the numbers are in a table for those who do not see them. */
export function HistogramBars({ label, bins, limit, formatEdge = formatInteger, color = 1, className }: HistogramBarsProps) {
  const highest = bins.reduce((most, bin) => Math.max(most, bin.count), 0);
  const first = bins[0];
  const last = bins.at(-1);
  if (!first || !last) return <p className="text-sm text-muted-foreground">Nothing to count yet.</p>;
  return (
    <figure aria-label={label} className={cn("flex flex-col gap-1", className)}>
      <div aria-hidden className="flex h-32 items-end gap-px">
        {bins.map((bin) => {
          const isCut = limit !== undefined && bin.first >= limit.at;
          return (
            <div
              key={bin.first}
              title={`${formatEdge(bin.first)} to ${formatEdge(bin.last)}: ${formatInteger(bin.count)}`}
              className="flex h-full min-w-0 flex-1 items-end hover:bg-(--accent)"
            >
              <div
                className={cn("w-full rounded-t-[2px]", isCut && "opacity-40")}
                style={{
                  height: `${highest ? (bin.count / highest) * 100 : 0}%`,
                  minHeight: bin.count ? 2 : 0,
                  backgroundColor: `var(--chart-${color})`,
                }}
              />
            </div>
          );
        })}
      </div>
      <div aria-hidden className="flex justify-between text-xs text-muted-foreground tabular-nums">
        <span>{formatEdge(first.first)}</span>
        {limit && <span>{limit.label}</span>}
        <span>{formatEdge(last.last)}</span>
      </div>
      <table className="sr-only">
        <caption>{label}</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col">Count</th>
          </tr>
        </thead>
        <tbody>
          {bins.map((bin) => (
            <tr key={bin.first}>
              <td>{formatEdge(bin.first)}</td>
              <td>{formatEdge(bin.last)}</td>
              <td>{formatInteger(bin.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
