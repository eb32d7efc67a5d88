import type { Points } from "./downsample";
import { summariseSeries } from "./series";

/** An SVG path through the points, broken at gaps; a lone value is a short dash. `length` is what x counts to. */
export function sparklinePath({ x, y }: Points, length: number, width: number, height: number): string {
  const summary = summariseSeries(y);
  if (!summary) return "";
  const margin = 2;
  const span = summary.max - summary.min;
  const toX = (value: number) => (length > 1 ? (value / (length - 1)) * width : width / 2);
  const toY = (value: number) => (span ? margin + (1 - (value - summary.min) / span) * (height - 2 * margin) : height / 2);
  let path = "";
  let isDrawing = false;
  y.forEach((value, index) => {
    if (value === null) {
      isDrawing = false;
      return;
    }
    const [left, top] = [toX(x[index] as number).toFixed(1), toY(value).toFixed(1)];
    const isAlone = !isDrawing && (y[index + 1] ?? null) === null;
    path += `${isDrawing ? "L" : "M"}${left} ${top}${isAlone ? "h1" : ""}`;
    isDrawing = true;
  });
  return path;
}
