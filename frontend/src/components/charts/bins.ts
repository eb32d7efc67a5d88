/** Numbers counted into bins of equal width, and shares of a whole. */

export interface Bin {
  /** Both included for whole numbers; `last` is excluded otherwise, but for the last bin. */
  first: number;
  last: number;
  count: number;
}

/** Of finite values; none of nothing, one of values that are all the same. */
export function countIntoBins(values: readonly number[], numBins = 20): Bin[] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [];
  const min = finite.reduce((a, b) => Math.min(a, b));
  const max = finite.reduce((a, b) => Math.max(a, b));
  if (min === max) return [{ first: min, last: max, count: finite.length }];
  const width = (max - min) / numBins;
  const bins = Array.from({ length: numBins }, (_, index) => ({
    first: min + index * width,
    last: index === numBins - 1 ? max : min + (index + 1) * width,
    count: 0,
  }));
  for (const value of finite) {
    const bin = bins[Math.min(Math.floor((value - min) / width), numBins - 1)] as Bin;
    bin.count += 1;
  }
  return bins;
}

/** Each value's share of `total`, or of their sum; values that are absent or negative have none. Never above 1 together. */
export function sharesOf(values: readonly (number | null)[], total?: number | null): number[] {
  const sizes = values.map((value) => Math.max(0, value ?? 0));
  const sum = sizes.reduce((a, b) => a + b, 0);
  const whole = Math.max(sum, total ?? 0);
  return sizes.map((size) => (whole > 0 ? size / whole : 0));
}
