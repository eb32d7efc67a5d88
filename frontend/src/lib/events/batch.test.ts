// @vitest-environment node
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createBatch } from "@/lib/events/batch";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("hands over at once after a silence, and then at most once in the interval", () => {
  const flushed: number[][] = [];
  const batch = createBatch<number>((items) => flushed.push(items), 250);

  batch.add(1);
  batch.add(2);
  vi.advanceTimersByTime(1);
  batch.add(3);
  vi.advanceTimersByTime(200);
  batch.add(4);
  expect(flushed).toEqual([[1, 2]]);
  vi.advanceTimersByTime(50);
  expect(flushed).toEqual([
    [1, 2],
    [3, 4],
  ]);

  vi.advanceTimersByTime(1_000);
  batch.add(5);
  vi.advanceTimersByTime(1);
  expect(flushed.at(-1)).toEqual([5]);
});

it("drops what is left when it stops", () => {
  const flush = vi.fn();
  const batch = createBatch<number>(flush, 250);
  batch.add(1);

  batch.stop();
  vi.advanceTimersByTime(1_000);

  expect(flush).not.toHaveBeenCalled();
});
