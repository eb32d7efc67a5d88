"use client";

/** The drawing itself. Loaded when a chart is shown, as uPlot is of no use before. */
import { useEffect, useLayoutEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { uPlotOptions, type ChartLook, type ChartMark } from "./uplot-options";

export interface UPlotCanvasProps extends ChartLook {
  x: number[];
  columns: (number | null | undefined)[][];
  marks: readonly ChartMark[];
}

export function UPlotCanvas(props: UPlotCanvasProps) {
  const { series, x, columns, xKind, yScale, height, syncKey } = props;
  const container = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const latest = useRef(props);
  useLayoutEffect(() => {
    latest.current = props;
  });
  // Another set of series is another plot; more points are not.
  const look = series.map(({ key, color, isDashed, isFaint }) => [key, color, isDashed, isFaint].join()).join("|");

  useEffect(() => {
    const element = container.current;
    if (!element) return;
    const options = uPlotOptions({
      element,
      series: latest.current.series,
      xKind,
      yScale,
      height,
      syncKey,
      formatX: (value) => latest.current.formatX(value),
      formatY: (value) => latest.current.formatY(value),
      marks: () => latest.current.marks,
      onCursor: (index) => latest.current.onCursor(index),
    });
    const created = new uPlot(options, toData(latest.current), element);
    plot.current = created;
    const resize = new ResizeObserver(() => created.setSize({ width: Math.max(element.clientWidth, 50), height }));
    resize.observe(element);
    const theme = new MutationObserver(() => created.redraw(false));
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "style"] });
    return () => {
      resize.disconnect();
      theme.disconnect();
      created.destroy();
      plot.current = null;
    };
  }, [look, xKind, yScale, height, syncKey]);

  useEffect(() => {
    // A reader who has zoomed in stays where they are.
    const isZoomed = plot.current !== null && isZoomedIn(plot.current);
    plot.current?.setData(toData({ x, columns }), !isZoomed);
    if (isZoomed) plot.current?.redraw();
  }, [x, columns]);

  return <div ref={container} className="w-full min-w-0" style={{ height }} />;
}

function toData({ x, columns }: Pick<UPlotCanvasProps, "x" | "columns">): uPlot.AlignedData {
  return [x, ...columns];
}

function isZoomedIn(plot: uPlot): boolean {
  const known = plot.data[0];
  const { min, max } = plot.scales.x ?? {};
  if (known.length < 2 || min == null || max == null) return false;
  return min > (known[0] as number) || max < (known[known.length - 1] as number);
}
