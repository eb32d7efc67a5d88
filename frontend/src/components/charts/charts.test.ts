// @vitest-environment node
import { describe, expect, it } from "vitest";
import { countIntoBins, sharesOf } from "./bins";
import { prepareChart, valuesAt } from "./chart-data";
import { bucketExtremes, downsample, largestTriangles } from "./downsample";
import { colorAt, describeSeries, summariseSeries } from "./series";
import { sparklinePath } from "./sparkline-path";
import { tickSteps } from "./tick-steps";
import { formatTimeTick } from "./uplot-options";
import { alignSeries, paddedRange, positiveOnly, smooth, toCSV, toRows } from "./transform";

const range = (length: number) => Array.from({ length }, (_, index) => index);

describe("downsample", () => {
  it("leaves few points as they are", () => {
    expect(downsample([1, 2, 3], [1, null, 3], 3)).toEqual({ x: [1, 2, 3], y: [1, null, 3] });
  });

  it("keeps both ends, the order and a lone peak of 10,000 points", () => {
    const x = range(10_000);
    const y = x.map((index) => (index === 6_543 ? 100 : Math.sin(index / 500)));

    const points = downsample(x, y, 200);

    expect(points.x).toHaveLength(200);
    expect([points.x[0], points.x.at(-1)]).toEqual([0, 9_999]);
    expect(points.x).toContain(6_543);
    expect(points.x).toEqual([...points.x].sort((a, b) => a - b));
  });

  it("keeps lows, highs and gaps where values are missing", () => {
    const y = range(3_000).map((index) => (index >= 1_000 && index < 1_100 ? null : index === 2_000 ? -50 : index % 10));

    const points = downsample(range(3_000), y, 300);

    expect(points.x.length).toBeLessThanOrEqual(300);
    expect(points.y).toContain(-50);
    expect(points.x.some((x, index) => x >= 1_000 && x < 1_100 && points.y[index] === null)).toBe(true);
  });

  it("takes three points at least, and of nothing but gaps one a bucket", () => {
    expect(largestTriangles(range(100), range(100), 3)).toHaveLength(3);
    expect(
      bucketExtremes(
        range(100).map(() => null),
        8,
      ),
    ).toEqual([0, 49, 99]);
  });
});

describe("smooth", () => {
  it("begins at the first value, not near zero", () => {
    expect(smooth([10, 10, 10], 0.9).map((value) => value?.toFixed(6))).toEqual(["10.000000", "10.000000", "10.000000"]);
  });

  it("weighs newer values more", () => {
    // Weights of 1/4 and 1/2, divided by what has been seen of them.
    expect(smooth([0, 3], 0.5)[1]).toBeCloseTo(2);
  });

  it("leaves gaps, and remembers over them", () => {
    expect(smooth([4, null, 4], 0.5)).toEqual([4, null, 4]);
  });

  it("changes nothing with no weight", () => {
    expect(smooth([1, null, 2], 0)).toEqual([1, null, 2]);
  });
});

it("a logarithmic axis has no place for zero and below", () => {
  expect(positiveOnly([1, 0, -1, null])).toEqual([1, null, null, null]);
});

describe("alignSeries", () => {
  it("tells a gap from a place where a series has no point", () => {
    const aligned = alignSeries([
      { x: [1, 2, 3], y: [1, null, 3] },
      { x: [2, 4], y: [20, 40] },
    ]);

    expect(aligned.x).toEqual([1, 2, 3, 4]);
    expect(aligned.columns).toEqual([
      [1, null, 3, undefined],
      [undefined, 20, undefined, 40],
    ]);
  });

  it("puts series over the same x side by side", () => {
    expect(
      alignSeries([
        { x: [1, 2], y: [1, 2] },
        { x: [1, 2], y: [3, null] },
      ]),
    ).toEqual({
      x: [1, 2],
      columns: [
        [1, 2],
        [3, null],
      ],
    });
    expect(alignSeries([])).toEqual({ x: [], columns: [] });
  });
});

const LOSS = { key: "train_loss", label: "Training", x: [1, 2, 3], y: [3, null, 1] };
const VALIDATION = { key: "=val,loss", label: "Validation", x: [3], y: [2] };

it("rows and CSV have every value, and empty cells for none", () => {
  expect(toRows([LOSS, VALIDATION]).map(({ x, values }) => [x, ...values])).toEqual([
    [1, 3, null],
    [2, null, null],
    [3, 1, 2],
  ]);
  expect(toCSV([LOSS, VALIDATION], "step")).toBe('step,train_loss,"\'=val,loss"\n1,3,\n2,,\n3,1,2\n');
});

it("summaries are of what was measured", () => {
  expect(summariseSeries([null, 2, 5, 1, Number.NaN])).toEqual({ first: 2, last: 1, min: 1, max: 5, numPoints: 3 });
  expect(summariseSeries([null])).toBeNull();
  expect(describeSeries([LOSS, { ...LOSS, label: "Other", y: [null] }], String)).toBe(
    "Training: from 3 to 1, lowest 1, highest 3. Other: no values yet.",
  );
  expect(describeSeries([], String)).toBe("No data yet.");
});

it("a range has room around it, also of a flat line, and does not go below zero without need", () => {
  expect(paddedRange(10, 20, 0.1)).toEqual([9, 21]);
  expect(paddedRange(0.1, 10)).toEqual([0, expect.closeTo(10.792)]);
  expect(paddedRange(5, 5, 0.1)).toEqual([4.5, 5.5]);
  expect(paddedRange(0, 0, 0.1)).toEqual([0, 0.1]);
  expect(paddedRange(-1, 1, 0.1)).toEqual([-1.2, 1.2]);
});

describe("prepareChart", () => {
  const options = { yScale: "linear" as const, smoothing: 0, maxPoints: 100 };

  it("draws the raw curve faintly behind the smoothed one, in one colour", () => {
    const { drawn } = prepareChart([LOSS, VALIDATION], { ...options, smoothing: 0.5 });

    expect(drawn.map(({ key, isFaint, color }) => [key, isFaint, color])).toEqual([
      ["train_loss (raw)", true, 1],
      ["train_loss", false, 1],
      ["=val,loss (raw)", true, 2],
      ["=val,loss", false, 2],
    ]);
  });

  it("says how much it left out", () => {
    const y = range(1_000).map((index) => (index < 10 ? 0 : index));
    const data = prepareChart([{ ...LOSS, x: range(1_000), y }], { ...options, yScale: "log" });

    expect([data.numPoints, data.numHidden]).toEqual([1_000, 10]);
    expect(data.numDrawn).toBeLessThanOrEqual(100);
  });

  it("smooths before it leaves points out", () => {
    const x = range(1_000);
    const y = x.map((index) => index % 2);

    const { drawn } = prepareChart([{ ...LOSS, x, y }], { ...options, smoothing: 0.99 });

    const later = drawn[1]?.y.slice(50) as number[];
    expect(Math.max(...later) - Math.min(...later)).toBeLessThan(0.05);
  });

  it("shows at the crosshair the value there, or the last one before it", () => {
    const data = prepareChart([LOSS, VALIDATION], options);

    expect(valuesAt(data, 0)).toEqual([3, null]);
    expect(valuesAt(data, 1)).toEqual([null, null]);
    expect(valuesAt(data, 2)).toEqual([1, 2]);
    expect(valuesAt(prepareChart([VALIDATION, LOSS], options), 2)).toEqual([2, 1]);
  });
});

describe("bins", () => {
  it("hold every finite value once", () => {
    const bins = countIntoBins([0, 1, 5, 9, 10, Number.NaN], 2);

    expect(bins).toEqual([
      { first: 0, last: 5, count: 2 },
      { first: 5, last: 10, count: 3 },
    ]);
  });

  it("are none of nothing, and one of equal values", () => {
    expect(countIntoBins([])).toEqual([]);
    expect(countIntoBins([3, 3])).toEqual([{ first: 3, last: 3, count: 2 }]);
  });
});

it("shares are of the total, or of the sum where that is larger or unknown", () => {
  expect(sharesOf([1, null, -1], 4)).toEqual([0.25, 0, 0]);
  expect(sharesOf([1, 3])).toEqual([0.25, 0.75]);
  expect(sharesOf([3, 3], 4)).toEqual([0.5, 0.5]);
  expect(sharesOf([0], 0)).toEqual([0]);
});

it("a sparkline breaks at gaps and shows lone values", () => {
  expect(sparklinePath({ x: [0, 1, 2, 3], y: [0, 10, null, 5] }, 4, 30, 24)).toBe("M0.0 22.0L10.0 2.0M30.0 12.0h1");
  expect(sparklinePath({ x: [0], y: [5] }, 1, 30, 24)).toBe("M15.0 12.0h1");
  expect(sparklinePath({ x: [0], y: [null] }, 1, 30, 24)).toBe("");
});

it("colours go round, unless a series has its own", () => {
  expect([colorAt({}, 0), colorAt({}, 5), colorAt({ color: 4 }, 0)]).toEqual([1, 1, 4]);
});

it("ticks of time are as fine as they are close", () => {
  const seconds = new Date(2026, 10, 26, 12, 44, 5).getTime() / 1_000;
  expect([10, 60, 86_400].map((step) => formatTimeTick(seconds, step))).toEqual(["12:44:05", "12:44", "26 Nov"]);
});

describe("tickSteps", () => {
  it("has no tick between two whole things, and gaps do not matter", () => {
    expect(tickSteps([[1, null, 4, undefined]])[0]).toBe(1);
    expect(tickSteps([[1, 2], [0.25]])).toContain(0.2);
  });
});
