/** Fewer points that look the same. A random sample would not: it loses peaks. */

export interface Points {
  x: number[];
  y: (number | null)[];
}

/** At most about `maxPoints`: by largest triangles, or, where values are missing, by the lowest and highest of each bucket. */
export function downsample(x: readonly number[], y: readonly (number | null)[], maxPoints: number): Points {
  if (x.length <= maxPoints) return { x: [...x], y: [...y] };
  const isWhole = y.every((value) => value !== null);
  const kept = isWhole ? largestTriangles(x, y as readonly number[], maxPoints) : bucketExtremes(y, maxPoints);
  return { x: kept.map((index) => x[index] as number), y: kept.map((index) => y[index] ?? null) };
}

/**
 * Indices, ascending, of `maxPoints` (3 or more), the first and last included.
 * Largest-Triangle-Three-Buckets: Sveinn Steinarsson, "Downsampling Time Series for Visual Representation", 2013.
 */
export function largestTriangles(x: readonly number[], y: readonly number[], maxPoints: number): number[] {
  const count = x.length;
  if (count <= maxPoints) return x.map((_, index) => index);
  const at = (values: readonly number[], index: number) => values[index] as number;
  const width = (count - 2) / (maxPoints - 2);
  const kept = [0];
  for (let bucket = 0; bucket < maxPoints - 2; bucket++) {
    const start = Math.floor(bucket * width) + 1;
    const end = Math.floor((bucket + 1) * width) + 1;
    const afterEnd = Math.min(Math.floor((bucket + 2) * width) + 1, count);
    const [meanX, meanY] = mean(x, y, end, Math.max(afterEnd, end + 1));
    const last = kept[kept.length - 1] as number;
    let best = start;
    let bestArea = -1;
    for (let index = start; index < end; index++) {
      const area = Math.abs(
        (at(x, last) - meanX) * (at(y, index) - at(y, last)) - (at(x, last) - at(x, index)) * (meanY - at(y, last)),
      );
      if (area > bestArea) [best, bestArea] = [index, area];
    }
    kept.push(best);
  }
  kept.push(count - 1);
  return kept;
}

function mean(x: readonly number[], y: readonly number[], start: number, end: number): [number, number] {
  let sumX = 0;
  let sumY = 0;
  for (let index = start; index < end; index++) {
    sumX += x[index] as number;
    sumY += y[index] as number;
  }
  return [sumX / (end - start), sumY / (end - start)];
}

/** Indices, ascending: of each bucket the lowest and the highest value and one gap, if there is one; and both ends. */
export function bucketExtremes(y: readonly (number | null)[], maxPoints: number): number[] {
  const count = y.length;
  const numBuckets = Math.max(1, Math.floor((maxPoints - 2) / 3));
  const kept = new Set<number>([0, count - 1]);
  for (let bucket = 0; bucket < numBuckets; bucket++) {
    const start = Math.floor((bucket * count) / numBuckets);
    const end = Math.floor(((bucket + 1) * count) / numBuckets);
    for (const index of extremes(y, start, end)) kept.add(index);
  }
  return [...kept].sort((a, b) => a - b);
}

function extremes(y: readonly (number | null)[], start: number, end: number): number[] {
  let low = -1;
  let high = -1;
  let gap = -1;
  for (let index = start; index < end; index++) {
    const value = y[index];
    if (value === null || value === undefined) {
      gap = index;
      continue;
    }
    if (low < 0 || value < (y[low] as number)) low = index;
    if (high < 0 || value > (y[high] as number)) high = index;
  }
  return [low, high, gap].filter((index) => index >= 0);
}
