import { cn } from "./cn";

/** A line that means nothing to a screen reader. */
export function Separator({ vertical, className }: { vertical?: boolean; className?: string }) {
  return (
    <div
      aria-hidden
      data-slot="separator"
      className={cn("shrink-0 bg-border", vertical ? "h-full w-px" : "h-px w-full", className)}
    />
  );
}
