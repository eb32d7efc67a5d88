"use client";

import { useSyncExternalStore } from "react";
import { ABSENT } from "@/lib/format/numbers";
import { formatDateTime, formatRelative, toDate } from "@/lib/format/time";

const TICK_MS = 15_000;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = Date.now();

/** One timer for every time on the page. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (!timer) {
    now = Date.now();
    timer = setInterval(() => {
      now = Date.now();
      listeners.forEach((tell) => tell());
    }, TICK_MS);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** "5 minutes ago", kept true; the date on hover. */
export function RelativeTime({ at, className }: { at: string | Date | null | undefined; className?: string }) {
  useSyncExternalStore(
    subscribe,
    () => now,
    () => 0,
  );
  const moment = toDate(at);
  if (!moment) return <span className={className}>{ABSENT}</span>;
  return (
    <time dateTime={moment.toISOString()} title={formatDateTime(moment)} className={className} suppressHydrationWarning>
      {formatRelative(moment)}
    </time>
  );
}
