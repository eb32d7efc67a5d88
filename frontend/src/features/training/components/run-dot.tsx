import { colorAt } from "@/components/charts/series";

/** The colour of a run in the charts; its name stands beside it. */
export function RunDot({ index }: { index: number }) {
  return (
    <span
      aria-hidden
      className="size-2 shrink-0 rounded-[2px]"
      style={{ backgroundColor: `var(--chart-${colorAt({}, index)})` }}
    />
  );
}
