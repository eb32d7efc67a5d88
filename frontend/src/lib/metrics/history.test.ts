import { describe, expect, test } from "vitest";
import { growth, hasValues, mergeHistory, newest } from "@/lib/metrics/history";

function history(times: number[], values: (number | null)[], rest: object = {}) {
  return {
    now: times.at(-1) ?? 0,
    history_seconds: 10,
    times,
    events: [] as { at: number; kind: string }[],
    host_series: { cpu: values, by_reason: {} as Record<string, (number | null)[]> },
    ...rest,
  };
}

describe("mergeHistory", () => {
  test("appends what is new and drops what is too old", () => {
    const known = history([1, 2, 3], [10, 20, 30]);

    const merged = mergeHistory(known, history([12, 13], [120, 130]));

    expect(merged.times).toEqual([3, 12, 13]);
    expect(merged.host_series.cpu).toEqual([30, 120, 130]);
  });

  test("samples that overlap are taken once", () => {
    const merged = mergeHistory(history([1, 2, 3], [10, 20, 30]), history([2, 3, 4], [20, 30, 40]));

    expect(merged.times).toEqual([1, 2, 3, 4]);
    expect(merged.host_series.cpu).toEqual([10, 20, 30, 40]);
  });

  test("a column that begins later has gaps before, one that ends has gaps after", () => {
    const known = history([1, 2], [1, 2]);
    known.host_series.by_reason = { cold: [1, 1] };
    const added = history([3], [3]);
    added.host_series.by_reason = { evicted: [7] };

    const merged = mergeHistory(known, added);

    expect(merged.host_series.by_reason).toEqual({ cold: [1, 1, null], evicted: [null, null, 7] });
  });

  test("an answer without samples keeps what is known", () => {
    const merged = mergeHistory(history([1, 2], [1, 2]), history([], [], { now: 3 }));

    expect(merged.times).toEqual([1, 2]);
    expect(merged.host_series.cpu).toEqual([1, 2]);
  });

  test("a clock that went back begins afresh", () => {
    expect(mergeHistory(history([100], [1]), history([5], [2])).times).toEqual([5]);
  });

  test("an event that is told twice is kept once, and goes with its time", () => {
    const known = history([1, 12], [1, 2], {
      events: [
        { at: 0, kind: "old" },
        { at: 12.5, kind: "new" },
      ],
    });

    const merged = mergeHistory(
      known,
      history([13], [3], {
        events: [
          { at: 12.5, kind: "new" },
          { at: 13, kind: "newer" },
        ],
      }),
    );

    expect(merged.events.map(({ kind }) => kind)).toEqual(["new", "newer"]);
  });
});

test("newest skips a missed beat, and never reaches far back", () => {
  expect(newest([1, 2, null])).toBe(2);
  expect(newest([1, null, null, null, null, null])).toBeNull();
  expect(newest([])).toBeNull();
  expect(newest([0])).toBe(0);
});

test("hasValues: zero is a value, a gap is none", () => {
  expect(hasValues([null, 0])).toBe(true);
  expect(hasValues([null, null])).toBe(false);
});

test("growth counts on over a restart and keeps gaps", () => {
  expect(growth([5, 7, null, 2, 3])).toEqual([0, 2, null, 4, 5]);
});
