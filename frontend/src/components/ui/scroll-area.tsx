import { type ComponentProps } from "react";
import { cn } from "./cn";

interface ScrollAreaProps extends ComponentProps<"div"> {
  /** Names the region: it can be focused, so that it scrolls by keyboard. */
  label: string;
}

/** A box that scrolls on its own and is reachable by keyboard. */
export function ScrollArea({ label, className, ...props }: ScrollAreaProps) {
  return (
    <div
      data-slot="scroll-area"
      role="region"
      aria-label={label}
      tabIndex={0}
      className={cn("overflow-auto overscroll-contain focus-visible:outline-offset-[-2px]", className)}
      {...props}
    />
  );
}
