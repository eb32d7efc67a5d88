"use client";

import { useRouter } from "next/navigation";
import { useEffect, useRef, useState } from "react";
import { createShortcutReader, toKeyPress } from "./shortcuts";

interface ShortcutHandlers {
  openPalette: () => void;
  openShortcuts: () => void;
  toggleSidebar: () => void;
}

/** Listens to the keyboard of the whole window. Mount it once. */
export function useShortcuts(handlers: ShortcutHandlers): void {
  const router = useRouter();
  const [read] = useState(createShortcutReader);
  const latest = useRef(handlers);
  useEffect(() => {
    latest.current = handlers;
  });

  useEffect(() => {
    function onKeyDown(event: KeyboardEvent) {
      if (event.defaultPrevented || event.repeat || event.isComposing) return;
      const command = read(toKeyPress(event), event.timeStamp);
      if (!command) return;
      if (command.type === "search") {
        const field = document.querySelector<HTMLInputElement>("main input[data-search]");
        if (!field) return;
        event.preventDefault();
        field.focus();
        return;
      }
      event.preventDefault();
      if (command.type === "palette") latest.current.openPalette();
      else if (command.type === "shortcuts") latest.current.openShortcuts();
      else if (command.type === "sidebar") latest.current.toggleSidebar();
      else router.push(command.href);
    }
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [read, router]);
}
