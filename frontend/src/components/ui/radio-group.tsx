"use client";

import { RadioGroup as RadioPrimitive } from "radix-ui";
import { type ComponentProps } from "react";
import { cn } from "./cn";

export function RadioGroup({ className, ...props }: ComponentProps<typeof RadioPrimitive.Root>) {
  return <RadioPrimitive.Root data-slot="radio-group" className={cn("grid gap-2", className)} {...props} />;
}

/** A choice as a card: title and text, the whole of it clickable. */
export function RadioCard({ className, children, ...props }: ComponentProps<typeof RadioPrimitive.Item>) {
  return (
    <RadioPrimitive.Item
      data-slot="radio-card"
      className={cn(
        "flex flex-col gap-0.5 rounded-lg border bg-card px-3 py-2.5 text-left text-sm transition-colors hover:bg-accent disabled:opacity-50 data-[state=checked]:border-primary data-[state=checked]:bg-primary-soft",
        className,
      )}
      {...props}
    >
      {children}
    </RadioPrimitive.Item>
  );
}
