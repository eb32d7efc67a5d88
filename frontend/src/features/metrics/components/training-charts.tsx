"use client";

import { Dumbbell } from "lucide-react";
import Link from "next/link";
import { useMemo } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { type HubMetrics } from "@/components/app/metrics-queries";
import { type ChartMark } from "@/components/charts/uplot-options";
import { Button } from "@/components/ui/button";
import { formatBytes } from "@/lib/format/bytes";
import { hasValues, newest } from "@/lib/metrics/history";
import { toSeries } from "../lib/series";
import { ChartCard, ChartGrid } from "./chart-card";

/** What the trainer did in this time; its whole curves are on the job's page. */
export function TrainingCharts({ metrics, marks }: { metrics: HubMetrics; marks: readonly ChartMark[] }) {
  const { times, training_series: of } = metrics;
  const series = useMemo(
    () => ({
      loss: toSeries(times, [{ key: "loss", label: "Training loss", column: of.train_loss }]),
      speed: toSeries(times, [{ key: "speed", label: "Tokens", column: of.tokens_per_second }]),
      memory: toSeries(times, [{ key: "peak", label: "Peak", column: of.peak_memory_bytes }]),
    }),
    [times, of],
  );
  const jobId = newest(of.job_id);
  if (!hasValues(of.job_id)) {
    return (
      <EmptyState
        icon={Dumbbell}
        title="Nothing trained in this time"
        description="Loss, speed and memory of a job appear here while it runs."
        link={
          <Button variant="link" asChild>
            <Link href="/training">All jobs</Link>
          </Button>
        }
      />
    );
  }
  return (
    <>
      {jobId ? (
        <Button variant="outline" size="sm" asChild className="w-fit">
          <Link href={`/training/${jobId}`}>Open the running job</Link>
        </Button>
      ) : null}
      <ChartGrid>
        <ChartCard title="Training loss" series={series.loss} marks={marks} />
        <ChartCard title="Training speed" description="Tokens per second." series={series.speed} marks={marks} />
        <ChartCard title="Training memory" series={series.memory} marks={marks} formatY={formatBytes} />
      </ChartGrid>
    </>
  );
}
