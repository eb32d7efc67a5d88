"use client";

import { type ReactNode, type RefObject } from "react";
import { Popover, PopoverAnchor, PopoverContent } from "@/components/ui/popover";
import { useFocusRestore } from "@/components/ui/opener";

interface PanelProps {
  label: string;
  anchor: RefObject<HTMLButtonElement | null>;
  onClose: () => void;
  className?: string;
  children: ReactNode;
}

/** The open part of a PanelButton, which loads it when it is first needed. */
export function Panel({ label, anchor, onClose, className, children }: PanelProps) {
  const focus = useFocusRestore();
  return (
    <Popover open onOpenChange={(open) => !open && onClose()}>
      <PopoverAnchor virtualRef={anchor as RefObject<HTMLButtonElement>} />
      <PopoverContent
        align="end"
        aria-label={label}
        className={className}
        {...focus}
        // The button closes it by itself.
        onInteractOutside={(event) => anchor.current?.contains(event.target as Node) && event.preventDefault()}
      >
        {children}
      </PopoverContent>
    </Popover>
  );
}
