import { describe, expect, test } from "vitest";
import { describeEvent, toMarks } from "./marks";
import { memoryParts, toSeries } from "./series";

const UNKNOWN = [null];
const NO_SENSOR = {
  mlx_active_bytes: UNKNOWN,
  mlx_cache_bytes: UNKNOWN,
  memory_used_bytes: UNKNOWN,
  memory_total_bytes: UNKNOWN,
};

test("a column without any value is no curve, and gaps stay gaps", () => {
  const series = toSeries(
    [1, 2],
    [
      { key: "a", label: "A", column: [null, null] },
      { key: "b", label: "B", column: [50, null], scale: 0.01 },
    ],
  );

  expect(series).toEqual([{ key: "b", label: "B", x: [1, 2], y: [0.5, null] }]);
});

describe("memoryParts", () => {
  test("of an accelerator with memory of its own", () => {
    const parts = memoryParts(
      { mlx_active_bytes: [30], mlx_cache_bytes: [10], memory_used_bytes: [60], memory_total_bytes: [100] },
      { used: [1], totalBytes: 2 },
    );

    expect(parts).toEqual({ active: 30, cache: 10, other: 20, free: 40, total: 100 });
  });

  test("shared with the host where the accelerator tells no memory of its own", () => {
    const parts = memoryParts({ ...NO_SENSOR, mlx_active_bytes: [30] }, { used: [50], totalBytes: 80 });

    expect(parts).toEqual({ active: 30, cache: null, other: 20, free: 30, total: 80 });
  });

  test("without any sensor nothing is known, and nothing is zero", () => {
    expect(memoryParts(NO_SENSOR, { used: UNKNOWN, totalBytes: null })).toEqual({
      active: null,
      cache: null,
      other: null,
      free: null,
      total: null,
    });
  });

  test("counters that are ahead of the host's make nothing negative", () => {
    const parts = memoryParts(
      { mlx_active_bytes: [70], mlx_cache_bytes: [20], memory_used_bytes: [60], memory_total_bytes: [80] },
      { used: UNKNOWN, totalBytes: null },
    );

    expect(parts).toMatchObject({ other: 0, free: 0 });
  });
});

test("events of both services become marks in the order in which they happened", () => {
  const marks = toMarks(
    [{ at: 5, kind: "model_loaded", subject: "org/Model-4bit", detail: null }],
    [{ at: 3, kind: "job_started", subject: "a-job-id", detail: "facts" }],
  );

  expect(marks).toEqual([
    { x: 3, label: "facts started" },
    { x: 5, label: "Model-4bit loaded" },
  ]);
});

test("an event of the engine names the engine alone", () => {
  expect(describeEvent({ at: 1, kind: "engine_down", subject: "engine", detail: null })).toBe("Engine down");
});
