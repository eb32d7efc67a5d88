// @vitest-environment node
import { describe, expect, it } from "vitest";
import { appendPoints } from "@/lib/events/metric-series";

function steps(series: ReturnType<typeof appendPoints>, name: string): [number, number][] {
  return (series[name] ?? []).map(({ step, value }) => [step, value]);
}

const KNOWN = {
  loss: [
    { step: 1, value: 3, t: "a" },
    { step: 2, value: 2, t: "b" },
  ],
};

describe("appendPoints", () => {
  it("adds to the curves that a point has values for, and begins new ones", () => {
    const series = appendPoints(KNOWN, [{ step: 3, t: 1.5, loss: 1, rate: 5 }]);

    expect(steps(series, "loss")).toEqual([
      [1, 3],
      [2, 2],
      [3, 1],
    ]);
    expect(series.rate).toEqual([{ step: 3, value: 5, t: "1970-01-01T00:00:01.500Z" }]);
  });

  it("replaces a step that a resumed run writes again", () => {
    const series = appendPoints(KNOWN, [
      { step: 2, t: 0, loss: 9 },
      { step: 3, t: 0, loss: 8 },
    ]);

    expect(steps(series, "loss")).toEqual([
      [1, 3],
      [2, 9],
      [3, 8],
    ]);
  });

  it("sorts what comes out of order", () => {
    const series = appendPoints({}, [
      { step: 5, t: 0, loss: 5 },
      { step: 4, t: 0, loss: 4 },
    ]);

    expect(steps(series, "loss")).toEqual([
      [4, 4],
      [5, 5],
    ]);
  });

  it("takes what is no number for no value", () => {
    const series = appendPoints({}, [{ step: 1, t: 0, loss: null, rate: Number.NaN }]);

    expect(series).toEqual({});
  });

  it("leaves what it was given as it was", () => {
    appendPoints(KNOWN, [{ step: 9, t: 0, loss: 0 }]);

    expect(KNOWN.loss).toHaveLength(2);
  });
});
