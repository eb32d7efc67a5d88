"use client";

import { useMemo, useState } from "react";
import { useURLParams } from "@/components/app/url-params";
import { type ChartColor } from "@/components/charts/series";
import { TimeSeriesChart } from "@/components/charts/time-series-chart";
import { Card, CardContent } from "@/components/ui/card";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type Run } from "../lib/compare";
import { metricNamed, METRICS, toSeries } from "../lib/curves";
import { ChartControls, type ChartLook } from "./chart-controls";

const OPTIONS = METRICS.map(({ name, label }) => ({ value: name, label }));

/** One metric of every run in one chart. */
export function CompareCharts({ runs, names }: { runs: readonly Run[]; names: readonly string[] }) {
  const { params, change } = useURLParams();
  const [look, setLook] = useState<ChartLook>({ smoothing: 0, yScale: "linear" });
  const metric = metricNamed(params.get("metric"));
  const curves = runs.map((run) => run.curves);
  const series = useMemo(
    () =>
      curves.map((of, index) =>
        toSeries(of, metric, { key: names[index], label: names[index], color: ((index % 5) + 1) as ChartColor }),
      ),
    // The arrays are made anew with each render; what they hold is not.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [metric, names.join("\n"), ...curves.concat(Array(5 - curves.length).fill(undefined))],
  );
  return (
    <Card aria-label="Curves of the runs">
      <CardContent className="flex flex-col gap-3">
        <div className="flex flex-wrap items-center justify-between gap-3">
          <ToggleGroup
            aria-label="Curve"
            options={OPTIONS}
            value={metric.name}
            onValueChange={(name) => change({ metric: name === METRICS[0]?.name ? null : name }, { replaces: true })}
          />
          <ChartControls look={look} onChange={setLook} />
        </div>
        <TimeSeriesChart
          label={metric.label}
          series={series}
          xKind="step"
          height={320}
          formatY={metric.format}
          emptyText={`No run has measured this: ${metric.label.toLowerCase()}.`}
          {...look}
        />
      </CardContent>
    </Card>
  );
}
