"use client";

import { useRef } from "react";

/**
 * Handlers that bring the focus back to where it was when a dialog opened. Radix does so only for dialogs with a trigger of their
 * own; ours are opened from state. A menu item is gone by then, so its menu's button takes its place.
 */
export function useFocusRestore() {
  const opener = useRef<HTMLElement | null>(null);
  return {
    onOpenAutoFocus: () => {
      const active = document.activeElement;
      if (!(active instanceof HTMLElement)) return;
      const trigger = active.closest("[role=menu]")?.getAttribute("aria-labelledby");
      opener.current = (trigger && document.getElementById(trigger)) || active;
    },
    onCloseAutoFocus: (event: Event) => {
      if (!opener.current?.isConnected) return;
      event.preventDefault();
      opener.current.focus();
    },
  };
}
