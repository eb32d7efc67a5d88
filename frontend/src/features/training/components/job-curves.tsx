"use client";

import { type UseQueryResult } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { TimeSeriesChart } from "@/components/charts/time-series-chart";
import { Card, CardAction, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { type Curves, type Metric, metricNamed, METRICS, toSeries } from "../lib/curves";
import { ChartControls, type ChartLook } from "./chart-controls";

const TRAIN = metricNamed("train_loss");
const VALIDATION = metricNamed("val_loss");
const OTHERS = METRICS.filter((metric) => metric !== TRAIN && metric !== VALIDATION);
const SYNC = "training-job";

/** The losses in one chart, and what goes with them below, under one crosshair. */
export function JobCurves({ metrics }: { metrics: UseQueryResult<Backend<"MetricsPublic">> }) {
  const { data, error, refetch, isFetching } = metrics;
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the curves" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the curves" shape="cards" />
    );
  }
  return (
    <div className="flex min-w-0 flex-col gap-3">
      <Losses curves={data.series} />
      <div className="grid min-w-0 grid-cols-1 gap-3 md:grid-cols-2">
        {OTHERS.map((metric) => (
          <SmallChart key={metric.name} curves={data.series} metric={metric} />
        ))}
      </div>
    </div>
  );
}

function Losses({ curves }: { curves: Curves }) {
  const [look, setLook] = useState<ChartLook>({ smoothing: 0, yScale: "linear" });
  const { train_loss: train, val_loss: validation } = curves;
  const series = useMemo(
    () => [
      toSeries({ train_loss: train ?? [] }, TRAIN, { color: 1 }),
      toSeries({ val_loss: validation ?? [] }, VALIDATION, { color: 2, isDashed: true }),
    ],
    [train, validation],
  );
  return (
    <Card>
      <CardHeader>
        <CardTitle>Loss</CardTitle>
        <CardAction className="col-span-2 col-start-1 row-start-2 sm:col-span-1 sm:col-start-2 sm:row-start-1">
          <ChartControls look={look} onChange={setLook} />
        </CardAction>
      </CardHeader>
      <CardContent>
        <TimeSeriesChart
          label="Loss"
          series={series}
          xKind="step"
          height={300}
          syncKey={SYNC}
          emptyText="No step has been made yet."
          {...look}
        />
      </CardContent>
    </Card>
  );
}

function SmallChart({ curves, metric }: { curves: Curves; metric: Metric }) {
  const points = curves[metric.name];
  const series = useMemo(() => [toSeries({ [metric.name]: points ?? [] }, metric)], [points, metric]);
  return (
    <Card>
      <CardHeader>
        <CardTitle>{metric.label}</CardTitle>
      </CardHeader>
      <CardContent>
        <TimeSeriesChart
          label={metric.label}
          series={series}
          xKind="step"
          height={160}
          syncKey={SYNC}
          formatY={metric.format}
          emptyText="No values yet."
        />
      </CardContent>
    </Card>
  );
}
