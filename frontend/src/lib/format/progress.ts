/** Rates and remaining time of something that grows, from readings of how far it is. */
import { formatDuration } from "@/lib/format/time";

export interface ProgressReading {
  /** Milliseconds. */
  at: number;
  done: number;
}

export interface ProgressRate {
  last: ProgressReading;
  /** When `done` last grew. */
  grewAt: number;
  /** Units a second, smoothed; null until there are two readings. */
  perSecond: number | null;
  numReadings: number;
}

/** A reading this old weighs a third (1/e). */
const SMOOTHING_MS = 7_000;
const STALLED_MS = 10_000;
/** An estimate from fewer readings jumps about. */
const STABLE_READINGS = 4;

export function startRate(reading: ProgressReading): ProgressRate {
  return { last: reading, grewAt: reading.at, perSecond: null, numReadings: 1 };
}

/** The rate after one more reading. One that goes back, as after a restart, begins anew. */
export function updateRate(rate: ProgressRate, reading: ProgressReading): ProgressRate {
  if (reading.done < rate.last.done) return startRate(reading);
  const elapsed = reading.at - rate.last.at;
  if (elapsed <= 0) return rate;
  const now = ((reading.done - rate.last.done) / elapsed) * 1_000;
  const weight = 1 - Math.exp(-elapsed / SMOOTHING_MS);
  return {
    last: reading,
    grewAt: reading.done > rate.last.done ? reading.at : rate.grewAt,
    perSecond: rate.perSecond === null ? now : rate.perSecond + weight * (now - rate.perSecond),
    numReadings: rate.numReadings + 1,
  };
}

export function isStalled(rate: ProgressRate, now: number): boolean {
  return now - rate.grewAt >= STALLED_MS;
}

/** Units a second at `now`: what was measured fades while nothing arrives, and is 0 when it has stalled. */
export function currentRate(rate: ProgressRate, now: number): number | null {
  if (rate.perSecond === null) return null;
  if (isStalled(rate, now)) return 0;
  const silentMs = Math.max(0, now - rate.last.at - 1_000);
  return rate.perSecond * Math.exp(-silentMs / SMOOTHING_MS);
}

/** Seconds that remain; null until the rate is steady, and while nothing arrives. */
export function remainingSeconds(rate: ProgressRate, total: number, now: number): number | null {
  const perSecond = currentRate(rate, now);
  if (!perSecond || rate.numReadings < STABLE_READINGS || total <= 0) return null;
  return Math.max(0, (total - rate.last.done) / perSecond);
}

/** "about 3 min left"; coarse, as the estimate is. */
export function formatRemaining(seconds: number | null | undefined): string | null {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return null;
  if (seconds < 5) return "a few seconds left";
  const unit = seconds < 60 ? 5 : seconds < 600 ? 10 : 60;
  return `about ${formatDuration(Math.round(seconds / unit) * unit)} left`;
}
