/** Distances between the ticks of an axis: what counts whole things has no tick between two of them. */
import type uPlot from "uplot";

const ALL_STEPS = steps(-12, 15);
const WHOLE_STEPS = steps(0, 15);

/** Steps for the values drawn on an axis; a gap says nothing about them. */
export function tickSteps(series: readonly ArrayLike<number | null | undefined>[]): number[] {
  return series.every(isWhole) ? WHOLE_STEPS : ALL_STEPS;
}

export const ySteps: uPlot.Axis.Incrs = (plot) => tickSteps(plot.data.slice(1));
export const xSteps: uPlot.Axis.Incrs = (plot) => tickSteps(plot.data.slice(0, 1));

function isWhole(values: ArrayLike<number | null | undefined>): boolean {
  return Array.from(values).every((value) => value === null || value === undefined || Number.isInteger(value));
}

function steps(first: number, last: number): number[] {
  const powers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return powers.flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
}
