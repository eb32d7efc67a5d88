"use client";

import { useSyncExternalStore } from "react";
import { type SidebarState } from "./sidebar-state";

/** Below this the automatic sidebar is narrow; the same width stands in globals.css. */
const WIDE = "(min-width: 80rem)";

export function useIsNarrow(state: SidebarState): boolean {
  const isWide = useSyncExternalStore(
    (listener) => {
      const query = window.matchMedia(WIDE);
      query.addEventListener("change", listener);
      return () => query.removeEventListener("change", listener);
    },
    () => window.matchMedia(WIDE).matches,
    () => true,
  );
  return state === "collapsed" || (state === "auto" && !isWide);
}
