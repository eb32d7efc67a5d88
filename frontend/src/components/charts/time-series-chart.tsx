"use client";

/** Curves over steps or time, live: crosshair with values, zoom by dragging, and the same as text, table and CSV. */
import dynamic from "next/dynamic";
import { useMemo, useState, type ReactNode } from "react";
import { formatCount, formatInteger, formatNumber } from "@/lib/format/numbers";
import { formatClock } from "@/lib/format/time";
import { downloadFile } from "@/lib/storage/download-file";
import { Button } from "../ui/button";
import { cn } from "../ui/cn";
import { ChartLegend } from "./chart-legend";
import { prepareChart, valuesAt, type ChartData } from "./chart-data";
import { ChartTable } from "./chart-table";
import { describeSeries, type ChartSeries } from "./series";
import { toCSV } from "./transform";
import { type ChartMark, type XKind, type YScale } from "./uplot-options";

const Canvas = dynamic(() => import("./uplot-canvas").then((module) => module.UPlotCanvas), { ssr: false });

export interface TimeSeriesChartProps {
  /** Its accessible name, such as "Training loss". */
  label: string;
  series: readonly ChartSeries[];
  /** `step`: x counts. `time`: x is seconds since 1970. */
  xKind: XKind;
  /** Of x, in the table and the CSV: "step", "time". */
  xName?: string;
  yScale?: YScale;
  /** 0 (as measured) to below 1. */
  smoothing?: number;
  height?: number;
  /** Charts with the same key share one crosshair. */
  syncKey?: string;
  marks?: readonly ChartMark[];
  formatY?: (value: number) => string;
  /** Shown where there is not a single value. */
  emptyText?: string;
  className?: string;
}

const NO_MARKS: readonly ChartMark[] = [];
/** uPlot draws so many in about a millisecond; a screen has fewer columns. */
const MAX_POINTS = 4_000;

export function TimeSeriesChart(props: TimeSeriesChartProps) {
  const { label, series, xKind, xName = xKind, yScale = "linear", smoothing = 0, formatY = formatNumber } = props;
  const [cursor, setCursor] = useState<number | null>(null);
  const [isTable, setIsTable] = useState(false);
  const data = useMemo(() => prepareChart(series, { yScale, smoothing, maxPoints: MAX_POINTS }), [series, yScale, smoothing]);
  const formatX = xKind === "time" ? (value: number) => formatClock(value * 1_000) : formatInteger;
  const hasValues = series.some(({ y }) => y.some((value) => value !== null));
  const place = cursor ?? data.x.length - 1;
  const x = data.x[place];

  return (
    <figure aria-label={label} className={cn("flex min-w-0 flex-col gap-2", props.className)}>
      <ChartLegend
        drawn={data.drawn}
        values={valuesAt(data, place)}
        at={x === undefined ? null : `${xName} ${formatX(x)}`}
        formatY={formatY}
      />
      {isTable ? (
        <ChartTable label={label} series={series} xName={xName} formatX={formatX} formatY={formatY} />
      ) : (
        <ChartDrawing {...{ ...props, data, hasValues, yScale, formatX, formatY }} onCursor={setCursor} />
      )}
      <ChartFooter data={data} hasValues={hasValues}>
        <Button variant="ghost" size="sm" aria-pressed={isTable} onClick={() => setIsTable(!isTable)}>
          {isTable ? "Show chart" : "Show table"}
        </Button>
        <Button
          variant="ghost"
          size="sm"
          onClick={() => downloadFile(`${fileName(label)}.csv`, toCSV(series, xName), "text/csv")}
        >
          Save CSV
        </Button>
      </ChartFooter>
    </figure>
  );
}

interface ChartDrawingProps extends TimeSeriesChartProps {
  data: ChartData;
  hasValues: boolean;
  yScale: YScale;
  formatX: (value: number) => string;
  formatY: (value: number) => string;
  onCursor: (index: number | null) => void;
}

function ChartDrawing({ height = 240, marks = NO_MARKS, emptyText = "No values yet.", ...props }: ChartDrawingProps) {
  const { label, series, data, xKind, yScale, syncKey, formatX, formatY, onCursor } = props;
  if (!props.hasValues) {
    return (
      <p className="grid place-items-center text-sm text-muted-foreground" style={{ minHeight: height }}>
        {emptyText}
      </p>
    );
  }
  return (
    <div role="img" aria-label={`${label}. ${describeSeries(series, formatY)}`} style={{ minHeight: height }}>
      <Canvas
        {...{ xKind, yScale, height, syncKey, marks, formatX, formatY, onCursor }}
        series={data.drawn}
        x={data.x}
        columns={data.columns}
      />
    </div>
  );
}

/** What the drawing leaves out, and what else can be done with the numbers. */
function ChartFooter({ data, hasValues, children }: { data: ChartData; hasValues: boolean; children: ReactNode }) {
  return (
    <figcaption className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted-foreground">
      {data.numDrawn < data.numPoints && (
        <span>
          {formatInteger(data.numDrawn)} of {formatInteger(data.numPoints)} points drawn, peaks kept
        </span>
      )}
      {data.numHidden > 0 && <span>{formatCount(data.numHidden, "value")} of zero or less not on this axis</span>}
      {hasValues && <span className="ml-auto flex gap-1">{children}</span>}
    </figcaption>
  );
}

function fileName(label: string): string {
  return (
    label
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "") || "chart"
  );
}
