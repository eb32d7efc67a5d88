/** Minutes of figures, kept by asking only for what is new. Every column has the length of `times`. */

export interface MetricsHistory {
  now: number;
  history_seconds: number;
  /** Seconds since 1970, ascending. */
  times: number[];
  events: { at: number }[];
}

interface Cut {
  /** Samples of what is known that are too old by now. */
  numOld: number;
  numKnown: number;
  /** Samples of the answer that are known. */
  numDouble: number;
  numAdded: number;
}

/** What is known and what the answer adds, of the last `history_seconds`; the answer alone when the two do not join. */
export function mergeHistory<T extends MetricsHistory>(known: T | undefined, answer: T): T {
  const last = known?.times.at(-1);
  // A clock that was set back: begin afresh.
  if (!known || last === undefined || last > answer.now) return answer;
  const oldest = answer.now - answer.history_seconds;
  const cut: Cut = {
    numOld: countUntil(known.times, (at) => at >= oldest),
    numKnown: known.times.length,
    numDouble: countUntil(answer.times, (at) => at > last),
    numAdded: answer.times.length,
  };
  const series = Object.keys(answer)
    .filter((name) => name.endsWith("_series"))
    .map((name) => [name, join(known[name as keyof T], answer[name as keyof T], cut)]);
  return {
    ...answer,
    ...(Object.fromEntries(series) as Partial<T>),
    times: join(known.times, answer.times, cut) as number[],
    events: joinEvents(known.events, answer.events, oldest),
  };
}

function countUntil(times: readonly number[], isReached: (at: number) => boolean): number {
  const index = times.findIndex(isReached);
  return index < 0 ? times.length : index;
}

/** Columns, or columns by name. One that is absent on a side was not measured there. */
function join(known: unknown, added: unknown, cut: Cut): unknown {
  if (Array.isArray(known) || Array.isArray(added)) {
    const before: unknown[] = Array.isArray(known) ? known : new Array<null>(cut.numKnown).fill(null);
    const after: unknown[] = Array.isArray(added) ? added : new Array<null>(cut.numAdded).fill(null);
    return [...before.slice(cut.numOld), ...after.slice(cut.numDouble)];
  }
  const [first, second] = [toRecord(known), toRecord(added)];
  const names = new Set([...Object.keys(first), ...Object.keys(second)]);
  return Object.fromEntries([...names].map((name) => [name, join(first[name], second[name], cut)]));
}

function toRecord(value: unknown): Record<string, unknown> {
  return (value ?? {}) as Record<string, unknown>;
}

function joinEvents<Event extends { at: number }>(known: Event[], added: Event[], oldest: number): Event[] {
  const seen = new Set(known.map((event) => JSON.stringify(event)));
  return [...known, ...added.filter((event) => !seen.has(JSON.stringify(event)))].filter(({ at }) => at >= oldest);
}

/** A sensor may miss a beat; what is older than this many samples is not "now". */
const MAX_MISSED = 5;

/** The newest value; null when there is none of the last few seconds. */
export function newest<T>(column: readonly (T | null)[]): T | null {
  for (let index = column.length - 1; index >= Math.max(0, column.length - MAX_MISSED); index--) {
    const value = column[index];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

export function hasValues(column: readonly unknown[]): boolean {
  return column.some((value) => value !== null);
}

/** Of a counter: how much it grew since the first sample. A fall is a restart, from zero. */
export function growth(column: readonly (number | null)[]): (number | null)[] {
  let last: number | null = null;
  let sum = 0;
  return column.map((value) => {
    if (value === null) return null;
    if (last !== null) sum += value >= last ? value - last : value;
    last = value;
    return sum;
  });
}
