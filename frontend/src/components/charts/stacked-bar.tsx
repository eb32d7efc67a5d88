import { cn } from "../ui/cn";
import { sharesOf } from "./bins";
import { colorAt, type ChartColor } from "./series";

export interface BarSegment {
  key: string;
  label: string;
  /** Null: not measured; it is listed and takes no room. */
  value: number | null;
  color?: ChartColor | "muted";
}

export interface StackedBarProps {
  /** What is divided: "Memory". */
  label: string;
  segments: readonly BarSegment[];
  /** Of the whole; by default the segments' sum. What is left is shown empty. */
  total?: number | null;
  format: (value: number | null) => string;
  className?: string;
}

/** Parts of a whole in one line, each with its name and value below it. */
export function StackedBar({ label, segments, total, format, className }: StackedBarProps) {
  const shares = sharesOf(
    segments.map(({ value }) => value),
    total,
  );
  const fill = (segment: BarSegment, index: number) =>
    segment.color === "muted" ? "var(--muted-foreground)" : `var(--chart-${colorAt({ color: segment.color }, index)})`;
  return (
    <figure aria-label={label} className={cn("flex flex-col gap-2", className)}>
      <div aria-hidden className="flex h-2.5 w-full gap-px overflow-hidden rounded-full bg-muted">
        {segments.map((segment, index) => (
          <div
            key={segment.key}
            title={`${segment.label}: ${format(segment.value)}`}
            className="h-full transition-[width] motion-reduce:transition-none"
            style={{ width: `${(shares[index] ?? 0) * 100}%`, backgroundColor: fill(segment, index) }}
          />
        ))}
      </div>
      <dl className="flex flex-wrap gap-x-4 gap-y-1 text-xs">
        {segments.map((segment, index) => (
          <div key={segment.key} className="flex items-center gap-1.5">
            <span aria-hidden className="size-2 rounded-[2px]" style={{ backgroundColor: fill(segment, index) }} />
            <dt className="text-muted-foreground">{segment.label}</dt>
            <dd className="tabular-nums">{format(segment.value)}</dd>
          </div>
        ))}
      </dl>
    </figure>
  );
}
