// @vitest-environment node
import { describe, expect, it } from "vitest";
import {
  currentRate,
  formatRemaining,
  isStalled,
  remainingSeconds,
  startRate,
  updateRate,
  type ProgressRate,
} from "@/lib/format/progress";

/** After so many seconds of `perSecond`, a reading a second. */
function run(seconds: number, perSecond: number, rate: ProgressRate = startRate({ at: 0, done: 0 })): ProgressRate {
  for (let second = 1; second <= seconds; second++) {
    rate = updateRate(rate, { at: rate.last.at + 1_000, done: rate.last.done + perSecond });
  }
  return rate;
}

describe("the rate", () => {
  it("is unknown from one reading, and steady when progress is", () => {
    expect(currentRate(startRate({ at: 0, done: 5 }), 0)).toBeNull();
    expect(currentRate(run(10, 100), 10_000)).toBeCloseTo(100);
  });

  it("follows a change over seconds, not at once", () => {
    const before = run(10, 100);
    const soon = currentRate(run(1, 200, before), 11_000) as number;
    const later = currentRate(run(30, 200, before), 40_000) as number;

    expect(soon).toBeGreaterThan(105);
    expect(soon).toBeLessThan(150);
    expect(later).toBeGreaterThan(195);
  });

  it("fades while nothing comes, and is 0 once it has stalled", () => {
    const rate = run(10, 100);

    expect(currentRate(rate, 15_000)).toBeLessThan(70);
    expect([isStalled(rate, 19_999), isStalled(rate, 20_000)]).toEqual([false, true]);
    expect(currentRate(rate, 20_000)).toBe(0);
  });

  it("knows a stall from readings that say the same", () => {
    const rate = run(12, 0, run(5, 100));

    expect(currentRate(rate, rate.last.at)).toBe(0);
  });

  it("begins anew when progress goes back", () => {
    const rate = updateRate(run(10, 100), { at: 11_000, done: 3 });

    expect([rate.perSecond, rate.numReadings]).toEqual([null, 1]);
  });

  it("ignores a reading of no later time", () => {
    const rate = run(3, 100);

    expect(updateRate(rate, { at: rate.last.at, done: 400 })).toBe(rate);
  });
});

describe("the remaining time", () => {
  it("is what is left at this rate", () => {
    expect(remainingSeconds(run(10, 100), 3_000, 10_000)).toBeCloseTo(20);
  });

  it("is not told before it is steady, in a stall, or without a total", () => {
    expect(remainingSeconds(run(2, 100), 3_000, 2_000)).toBeNull();
    expect(remainingSeconds(run(10, 100), 3_000, 30_000)).toBeNull();
    expect(remainingSeconds(run(10, 100), 0, 10_000)).toBeNull();
  });

  it.each([
    [null, null],
    [Infinity, null],
    [3, "a few seconds left"],
    [42, "about 40 s left"],
    [197, "about 3 min 20 s left"],
    [7_433, "about 2 h 4 min left"],
  ])("%j is told as %j", (seconds, text) => expect(formatRemaining(seconds)).toBe(text));
});
