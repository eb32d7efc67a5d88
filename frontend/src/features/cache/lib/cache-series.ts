/** Curves of the cache from the server's counters. */
import { type ChartSeries } from "@/components/charts/series";
import { growth, hasValues } from "@/lib/metrics/history";

type Column = readonly (number | null)[];

/** Share of lookups that hit, each point over the `window` samples before it; a gap where nothing was looked up. */
export function hitRate(hits: Column, misses: Column, window = 60): (number | null)[] {
  const [numHits, numMisses] = [growth(hits), growth(misses)];
  return numHits.map((hit, index) => {
    const miss = numMisses[index] ?? null;
    if (hit === null || miss === null) return null;
    const before = Math.max(0, index - window);
    const newHits = hit - (numHits[before] ?? 0);
    const total = newHits + miss - (numMisses[before] ?? 0);
    return total > 0 ? newHits / total : null;
  });
}

/** `diverged` becomes "Diverged", `weights_changed` "Weights changed". */
export function nameReason(reason: string): string {
  const text = reason.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** How many misses each reason had since the first sample; only reasons that occurred. */
export function missSeries(times: readonly number[], byReason: Record<string, Column>): ChartSeries[] {
  return Object.entries(byReason)
    .filter(([, column]) => hasValues(column))
    .map(([reason, column]) => ({
      key: reason,
      label: nameReason(reason),
      x: times,
      // A reason that appears within the window began at zero.
      y: growth(column[0] === null ? fromZero(column) : column),
    }))
    .filter(({ y }) => y.some((value) => value !== null && value > 0));
}

function fromZero(column: Column): Column {
  const first = column.findIndex((value) => value !== null);
  return column.map((value, index) => (index < first ? 0 : value));
}
