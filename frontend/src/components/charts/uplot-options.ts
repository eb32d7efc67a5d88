/** How a time series looks in uPlot. Colours are read from the theme whenever it draws. */
import type uPlot from "uplot";
import { colorAt, type ChartSeries } from "./series";
import { xSteps, ySteps } from "./tick-steps";
import { paddedRange } from "./transform";

export type XKind = "step" | "time";
export type YScale = "linear" | "log";

export interface DrawnSeries extends ChartSeries {
  /** The unsmoothed curve behind a smoothed one. */
  isFaint: boolean;
}

export interface ChartMark {
  x: number;
  label: string;
}

/** What the canvas is told and hands on. */
export interface ChartLook {
  series: readonly DrawnSeries[];
  /** For `time`, x is in seconds since 1970. */
  xKind: XKind;
  yScale: YScale;
  height: number;
  syncKey?: string;
  formatX: (value: number) => string;
  formatY: (value: number) => string;
  onCursor: (index: number | null) => void;
}

export interface UPlotLook extends ChartLook {
  element: HTMLElement;
  marks: () => readonly ChartMark[];
}

const FONT = "11px 'Geist Variable', system-ui, sans-serif";

export function uPlotOptions(look: UPlotLook): uPlot.Options {
  const theme = (name: string) => getComputedStyle(look.element).getPropertyValue(name).trim() || "gray";
  const axis: uPlot.Axis = {
    font: FONT,
    stroke: () => theme("--muted-foreground"),
    grid: { stroke: () => theme("--border"), width: 1 },
    ticks: { stroke: () => theme("--border"), width: 1, size: 4 },
  };
  return {
    width: Math.max(look.element.clientWidth, 50),
    height: look.height,
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: true },
      points: {
        size: (_plot, index) => (look.series[index - 1]?.isFaint ? 0 : 7),
        fill: (_plot, index) => seriesColor(look.series[index - 1], index - 1, theme),
      },
      ...(look.syncKey ? { sync: { key: look.syncKey, setSeries: false } } : {}),
    },
    scales: {
      x: { time: look.xKind === "time" },
      y:
        look.yScale === "log"
          ? { distr: 3, log: 10 }
          : { range: (_plot, min, max) => (min === null || max === null ? [0, 1] : paddedRange(min, max)) },
    },
    axes: [
      {
        ...axis,
        size: 28,
        ...(look.xKind === "step" ? { incrs: xSteps } : {}),
        values: (_plot, ticks, _axis, _space, step) =>
          look.xKind === "time" ? ticks.map((tick) => formatTimeTick(tick, step)) : ticks.map(look.formatX),
      },
      {
        ...axis,
        size: 56,
        ...(look.yScale === "linear" ? { incrs: ySteps } : {}),
        values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : look.formatY(tick))),
      },
    ],
    series: [{}, ...look.series.map((series, index) => drawnSeries(series, index, theme))],
    hooks: {
      setCursor: [(plot) => look.onCursor(plot.cursor.idx ?? null)],
      draw: [(plot) => drawMarks(plot, look.marks(), theme)],
    },
  };
}

function seriesColor(series: DrawnSeries | undefined, index: number, theme: (name: string) => string): string {
  return theme(`--chart-${colorAt(series ?? {}, index)}`);
}

/** A tick of the time axis: hours and minutes, with seconds where ticks are closer, the day where they are days apart. */
export function formatTimeTick(seconds: number, step: number): string {
  const at = new Date(seconds * 1_000);
  if (step >= 86_400) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return at.toLocaleTimeString("en-GB", { timeStyle: step < 60 ? "medium" : "short" });
}

function drawnSeries(series: DrawnSeries, index: number, theme: (name: string) => string): uPlot.Series {
  const color = () => seriesColor(series, index, theme);
  return {
    label: series.label,
    stroke: color,
    width: series.isFaint ? 1 : 1.75,
    alpha: series.isFaint ? 0.3 : 1,
    dash: series.isDashed ? [6, 4] : undefined,
    // undefined is "no point here", null is a gap.
    spanGaps: false,
    points: { show: (_plot, _series, first, last) => last - first < 2 },
  };
}

/** Thin lines with a name: a model was loaded, a job began. A name that would run into the one before it is left out. */
function drawMarks(plot: uPlot, marks: readonly ChartMark[], theme: (name: string) => string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = theme("--muted-foreground");
  ctx.fillStyle = theme("--muted-foreground");
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  let free = -Infinity;
  for (const mark of marks) {
    const left = plot.valToPos(mark.x, "x", true);
    if (left < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    const labelLeft = left + 4 * devicePixelRatio;
    if (labelLeft < free) continue;
    ctx.fillText(mark.label, labelLeft, bbox.top + 12 * devicePixelRatio);
    free = labelLeft + ctx.measureText(mark.label).width + 4 * devicePixelRatio;
  }
  ctx.restore();
}
