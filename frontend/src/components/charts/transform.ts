/** From series to what is drawn: smoothed, on an axis, side by side. */
import type { ChartSeries } from "./series";

/**
 * Exponential moving average; `weight` 0 changes nothing, close to 1 smooths most. Divided by the weight that has been seen, so
 * that the curve begins where the data does and not at zero. Gaps stay gaps and do not break the average.
 */
export function smooth(y: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...y];
  let average = 0;
  let seen = 0;
  return y.map((value) => {
    if (value === null) return null;
    average = average * weight + value * (1 - weight);
    seen = seen * weight + (1 - weight);
    return average / seen;
  });
}

/** For a logarithmic axis, which has no place for zero and what is below. */
export function positiveOnly(y: readonly (number | null)[]): (number | null)[] {
  return y.map((value) => (value !== null && value > 0 ? value : null));
}

/** Columns over one ascending x, as uPlot wants them. What a series has no point for is undefined there: no gap, no value. */
export function alignSeries(series: readonly Pick<ChartSeries, "x" | "y">[]): {
  x: number[];
  columns: (number | null | undefined)[][];
} {
  const first = series[0];
  if (first && series.every((each) => isSame(each.x, first.x))) {
    return { x: [...first.x], columns: series.map((each) => [...each.y]) };
  }
  const x = [...new Set(series.flatMap((each) => [...each.x]))].sort((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  const columns = series.map((each) => {
    const column = new Array<number | null | undefined>(x.length).fill(undefined);
    each.x.forEach((value, index) => {
      column[place.get(value) as number] = each.y[index] ?? null;
    });
    return column;
  });
  return { x, columns };
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every((value, index) => value === b[index]));
}

/** A table of all series over x; an absent value is an empty cell. */
export function toRows(series: readonly ChartSeries[]): { x: number; values: (number | null)[] }[] {
  const { x, columns } = alignSeries(series);
  return x.map((value, index) => ({ x: value, values: columns.map((column) => column[index] ?? null) }));
}

export function toCSV(series: readonly ChartSeries[], xName: string): string {
  const header = [xName, ...series.map(({ key }) => key)].map(quoteCell).join(",");
  const lines = toRows(series).map(({ x, values }) => [x, ...values.map((value) => value ?? "")].join(","));
  return `${[header, ...lines].join("\n")}\n`;
}

/** Quoted where it must be; a leading sign that spreadsheets would run as a formula is made text. */
function quoteCell(text: string): string {
  const safe = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Lowest and highest value with room around them; what is flat gets room too. */
export function paddedRange(min: number, max: number, share = 0.08): [number, number] {
  const span = max - min || Math.abs(max) || 1;
  const low = min - span * share;
  return [min >= 0 && low < 0 ? 0 : low, max + span * share];
}
