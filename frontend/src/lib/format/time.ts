/** Spans and moments. */
import { ABSENT, formatInteger, formatNumber, isPresent } from "@/lib/format/numbers";

type Moment = string | number | Date | null | undefined;

/** "640 ms", "4.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function formatDuration(seconds: number | null | undefined): string {
  if (!isPresent(seconds)) return ABSENT;
  const span = Math.max(0, seconds);
  if (span < 1) return `${formatInteger(span * 1000)} ms`;
  if (span < 59.95) return `${span < 10 ? formatNumber(Math.round(span * 10) / 10) : formatInteger(span)} s`;
  const whole = Math.round(span);
  if (whole < 3600) return twoUnits(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(span / 60);
  if (minutes < 1440) return twoUnits(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(span / 3600);
  return twoUnits(Math.floor(hours / 24), "d", hours % 24, "h");
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** 1234.5 → "1,235 ms" */
export function formatMilliseconds(ms: number | null | undefined): string {
  return isPresent(ms) ? `${formatInteger(ms)} ms` : ABSENT;
}

/** 42.123 → "42.1 tok/s" */
export function formatTokensPerSecond(rate: number | null | undefined): string {
  return isPresent(rate) ? `${formatNumber(rate)} tok/s` : ABSENT;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "just now", "5 minutes ago", "yesterday", "in 2 hours". */
export function formatRelative(moment: Moment, now: number = Date.now()): string {
  const at = toDate(moment);
  if (!at) return ABSENT;
  const seconds = (at.getTime() - now) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? "just now" : relative.format(Math.trunc(seconds), "second");
}

/** "26 Nov 2026, 12:44" in the reader's time zone. */
export function formatDateTime(moment: Moment): string {
  const at = toDate(moment);
  return at ? new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(at) : ABSENT;
}

/** "12:44:05", for axes and logs. */
export function formatClock(moment: Moment): string {
  const at = toDate(moment);
  return at ? new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" }).format(at) : ABSENT;
}

export function toDate(moment: Moment): Date | null {
  if (moment === null || moment === undefined || moment === "") return null;
  const at = moment instanceof Date ? moment : new Date(moment);
  return Number.isNaN(at.getTime()) ? null : at;
}

/** Seconds between two moments, until now when the second is absent. */
export function secondsBetween(start: Moment, end: Moment, now: number = Date.now()): number | null {
  const from = toDate(start);
  if (!from) return null;
  return Math.max(0, ((toDate(end)?.getTime() ?? now) - from.getTime()) / 1000);
}
