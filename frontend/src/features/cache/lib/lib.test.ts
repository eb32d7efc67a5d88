import { describe, expect, test } from "vitest";
import { type CacheStats } from "../api";
import { hitRate, missSeries, nameReason } from "./cache-series";
import { tiersOf } from "./tiers";

const STATS = { memory_entries: 2, memory_bytes: 50, max_memory_bytes: 200, disk_entries: 3, disk_bytes: 300 } as CacheStats;

describe("tiersOf", () => {
  test("says how full each tier is", () => {
    const [memory, disk] = tiersOf({ ...STATS, max_disk_bytes: 1200 });

    expect(memory).toEqual({ name: "Memory", numEntries: 2, numBytes: 50, maxBytes: 200, share: 0.25 });
    expect(disk?.share).toBe(0.25);
  });

  test("is never above the whole, and unknown without a limit", () => {
    expect(tiersOf({ ...STATS, max_disk_bytes: 100 })[1]?.share).toBe(1);
    expect(tiersOf({ ...STATS, max_disk_bytes: 0 })[1]).toMatchObject({ maxBytes: null, share: null });
  });
});

describe("hitRate", () => {
  test("counts what was looked up within the window", () => {
    expect(hitRate([0, 1, 3, 3], [0, 1, 1, 2], 2)).toEqual([null, 0.5, 0.75, 2 / 3]);
  });

  test("has a gap where nothing was measured or looked up", () => {
    expect(hitRate([5, null, 5], [5, null, 5])).toEqual([null, null, null]);
  });

  test("counts on over a restart of the engine", () => {
    expect(hitRate([9, 1], [9, 1])).toEqual([null, 0.5]);
  });
});

describe("missSeries", () => {
  test("leaves out reasons that did not occur in this time", () => {
    expect(missSeries([1, 2], { cold: [4, 4], evicted: [1, 3] }).map(({ key, y }) => [key, y])).toEqual([["evicted", [0, 2]]]);
  });

  test("a reason that appears began at zero", () => {
    expect(missSeries([1, 2, 3], { cold: [null, 1, 2] })[0]?.y).toEqual([0, 1, 2]);
  });
});

test("reasons read as words", () => {
  expect(nameReason("weights_changed")).toBe("Weights changed");
});
