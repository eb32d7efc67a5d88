"use client";

import { ChevronRight } from "lucide-react";
import { Collapsible as CollapsiblePrimitive } from "radix-ui";
import { type ComponentProps } from "react";
import { cn } from "./cn";

export const Collapsible = CollapsiblePrimitive.Root;
export const CollapsibleContent = CollapsiblePrimitive.Content;

/** A text button whose arrow turns with the state. */
export function CollapsibleTrigger({ className, children, ...props }: ComponentProps<typeof CollapsiblePrimitive.Trigger>) {
  return (
    <CollapsiblePrimitive.Trigger
      data-slot="collapsible-trigger"
      className={cn(
        "group/collapsible flex min-h-6 items-center gap-1 rounded-sm text-sm font-medium text-muted-foreground transition-colors hover:text-foreground",
        className,
      )}
      {...props}
    >
      <ChevronRight
        aria-hidden
        className="size-3.5 shrink-0 transition-transform group-data-[state=open]/collapsible:rotate-90"
      />
      {children}
    </CollapsiblePrimitive.Trigger>
  );
}
