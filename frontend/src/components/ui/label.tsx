"use client";

import { Label as LabelPrimitive } from "radix-ui";
import { type ComponentProps } from "react";
import { cn } from "./cn";

export function Label({ className, ...props }: ComponentProps<typeof LabelPrimitive.Root>) {
  return (
    <LabelPrimitive.Root
      data-slot="label"
      className={cn("flex w-fit items-center gap-1.5 text-sm font-medium select-none", className)}
      {...props}
    />
  );
}
