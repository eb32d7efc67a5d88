"use client";

import { Slider as SliderPrimitive } from "radix-ui";
import { type ComponentProps } from "react";
import { cn } from "./cn";

/** One thumb; the label goes to it, since it is what takes the focus. */
export function Slider({
  className,
  id,
  "aria-label": label,
  "aria-labelledby": labelledBy,
  "aria-describedby": describedBy,
  ...props
}: ComponentProps<typeof SliderPrimitive.Root>) {
  return (
    <SliderPrimitive.Root
      data-slot="slider"
      className={cn("relative flex h-6 w-full touch-none items-center select-none data-[disabled]:opacity-50", className)}
      {...props}
    >
      <SliderPrimitive.Track className="relative h-1.5 w-full grow overflow-hidden rounded-full border bg-muted">
        <SliderPrimitive.Range className="absolute h-full bg-primary" />
      </SliderPrimitive.Track>
      <SliderPrimitive.Thumb
        id={id}
        aria-label={label}
        aria-labelledby={labelledBy}
        aria-describedby={describedBy}
        className="relative block size-4 rounded-full border-2 border-primary bg-card shadow-xs after:absolute after:-inset-1"
      />
    </SliderPrimitive.Root>
  );
}
