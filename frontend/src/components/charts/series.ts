/** What charts are drawn from. `x` ascends; a `y` that is null was not measured, and is a gap, never a zero. */

export interface ChartSeries {
  /** Stable; also the column's name in the CSV. */
  key: string;
  label: string;
  x: readonly number[];
  y: readonly (number | null)[];
  /** Of the theme's chart colours; by default by place. */
  color?: ChartColor;
  isDashed?: boolean;
}

export type ChartColor = 1 | 2 | 3 | 4 | 5;

/** The colour of the series at this place, from 0. */
export function colorAt(series: Pick<ChartSeries, "color">, index: number): ChartColor {
  return series.color ?? (((index % 5) + 1) as ChartColor);
}

export interface SeriesSummary {
  first: number;
  last: number;
  min: number;
  max: number;
  numPoints: number;
}

/** Null when nothing was measured. */
export function summariseSeries(y: readonly (number | null)[]): SeriesSummary | null {
  let summary: SeriesSummary | null = null;
  for (const value of y) {
    if (value === null || !Number.isFinite(value)) continue;
    if (!summary) {
      summary = { first: value, last: value, min: value, max: value, numPoints: 1 };
      continue;
    }
    summary.last = value;
    summary.min = Math.min(summary.min, value);
    summary.max = Math.max(summary.max, value);
    summary.numPoints += 1;
  }
  return summary;
}

/** The whole chart in a sentence a series, for those who do not see it. */
export function describeSeries(series: readonly ChartSeries[], format: (value: number) => string): string {
  if (series.length === 0) return "No data yet.";
  return series
    .map(({ label, y }) => {
      const found = summariseSeries(y);
      if (!found) return `${label}: no values yet.`;
      const range = `lowest ${format(found.min)}, highest ${format(found.max)}`;
      return `${label}: from ${format(found.first)} to ${format(found.last)}, ${range}.`;
    })
    .join(" ");
}
