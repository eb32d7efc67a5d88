"use client";

import { useEffect, useRef, useState } from "react";
import { currentRate, isStalled, type ProgressRate, remainingSeconds, startRate, updateRate } from "@/lib/format/progress";
import { type Download, isFetching } from "../lib/download-state";

const TICK_MS = 1_000;

export interface DownloadRate {
  bytesPerSecond: number | null;
  /** Null until it is steady. */
  remainingSeconds: number | null;
  stalled: boolean;
}

/** Rate and remaining time, measured here: what the server last said stays as it is while nothing arrives. */
export function useDownloadRate(download: Download): DownloadRate {
  const [rate, setRate] = useState<ProgressRate | null>(null);
  const done = useRef(download.num_bytes_done);
  useEffect(() => {
    done.current = download.num_bytes_done;
  });
  const isActive = isFetching(download);

  useEffect(() => {
    if (!isActive) return;
    setRate(startRate({ at: Date.now(), done: done.current }));
    const timer = setInterval(() => {
      const reading = { at: Date.now(), done: done.current };
      setRate((known) => (known ? updateRate(known, reading) : startRate(reading)));
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [isActive, download.id]);

  if (!isActive || !rate) return { bytesPerSecond: null, remainingSeconds: null, stalled: false };
  const now = rate.last.at;
  return {
    // The first seconds after the page opened have no measure of their own.
    bytesPerSecond: currentRate(rate, now) ?? (download.bytes_per_second || null),
    remainingSeconds: remainingSeconds(rate, download.num_bytes_total, now),
    stalled: isStalled(rate, now),
  };
}
