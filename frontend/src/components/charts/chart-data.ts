/** Everything a time-series chart draws and says, from its series and how the reader wants to see them. */
import { downsample } from "./downsample";
import { type ChartSeries } from "./series";
import { alignSeries, positiveOnly, smooth } from "./transform";
import { type DrawnSeries, type YScale } from "./uplot-options";

export interface ChartData {
  drawn: DrawnSeries[];
  x: number[];
  columns: (number | null | undefined)[][];
  /** Points that were measured, and how many of them are drawn. */
  numPoints: number;
  numDrawn: number;
  /** On a logarithmic axis: values that have no place there. */
  numHidden: number;
}

export interface ChartDataOptions {
  yScale: YScale;
  /** 0 to 1, as in `smooth`. */
  smoothing: number;
  maxPoints: number;
}

export function prepareChart(series: readonly ChartSeries[], options: ChartDataOptions): ChartData {
  const drawn: DrawnSeries[] = [];
  let numPoints = 0;
  let numDrawn = 0;
  let numHidden = 0;
  series.forEach((each, index) => {
    // Smoothed before points are left out: the average is of what was measured.
    const curves = [{ y: each.y, isFaint: options.smoothing > 0 }];
    if (options.smoothing > 0) curves.push({ y: smooth(each.y, options.smoothing), isFaint: false });
    numPoints += each.x.length;
    curves.forEach(({ y, isFaint }, place) => {
      const shown = options.yScale === "log" ? positiveOnly(y) : y;
      if (place === 0) numHidden += countHidden(y, shown);
      const points = downsample(each.x, shown, options.maxPoints);
      if (place === 0) numDrawn += points.x.length;
      const key = isFaint ? `${each.key} (raw)` : each.key;
      drawn.push({
        ...each,
        ...points,
        key,
        color: each.color ?? (((index % 5) + 1) as 1 | 2 | 3 | 4 | 5),
        isFaint,
      });
    });
  });
  return { drawn, ...alignSeries(drawn), numPoints, numDrawn, numHidden };
}

function countHidden(y: readonly (number | null)[], shown: readonly (number | null)[]): number {
  return y.reduce<number>((count, value, index) => count + (value !== null && shown[index] === null ? 1 : 0), 0);
}

/** Of each drawn series the value at, or last before, the place of the crosshair. */
export function valuesAt(data: ChartData, index: number): (number | null)[] {
  return data.columns.map((column) => {
    for (let place = index; place >= 0; place--) {
      const value = column[place];
      if (value !== undefined) return value;
    }
    return null;
  });
}
