import { cn } from "../ui/cn";
import { downsample } from "./downsample";
import { type ChartColor } from "./series";
import { sparklinePath } from "./sparkline-path";

export interface SparklineProps {
  /** What it shows, with its newest value: "Tokens per second, now 42". */
  label: string;
  values: readonly (number | null)[];
  color?: ChartColor;
  className?: string;
}

const WIDTH = 120;
const HEIGHT = 32;

/** The shape of a curve at a glance; no axes, no interaction. Fills its box. */
export function Sparkline({ label, values, color = 1, className }: SparklineProps) {
  const points = downsample(
    values.map((_, index) => index),
    values,
    WIDTH,
  );
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      className={cn("h-8 w-full overflow-visible", className)}
    >
      <path
        d={sparklinePath(points, values.length, WIDTH, HEIGHT)}
        fill="none"
        stroke={`var(--chart-${color})`}
        strokeWidth={1.5}
        strokeLinejoin="round"
        strokeLinecap="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
