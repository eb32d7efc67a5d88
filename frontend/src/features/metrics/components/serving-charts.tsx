"use client";

import { useMemo } from "react";
import { type ServingMetrics } from "@/components/app/metrics-queries";
import { type ChartMark } from "@/components/charts/uplot-options";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger } from "@/lib/format/numbers";
import { formatDuration } from "@/lib/format/time";
import { toSeries } from "../lib/series";
import { ChartCard, ChartGrid } from "./chart-card";

/** An axis that goes to 1 has ticks between, which no count of requests can reach. */
const formatWhole = (value: number) => (Number.isInteger(value) ? formatInteger(value) : "");

/** How fast answers come, and how many at once. */
export function ServingCharts({ metrics, marks }: { metrics: ServingMetrics; marks: readonly ChartMark[] }) {
  const { times, serving_series: of } = metrics;
  const series = useMemo(
    () => ({
      latency: toSeries(times, [
        { key: "p50", label: "Half within", column: of.ttft_p50_seconds },
        { key: "p95", label: "95% within", column: of.ttft_p95_seconds, isDashed: true },
      ]),
      throughput: toSeries(times, [
        { key: "decode", label: "Generated", column: of.decode_tokens_per_second },
        { key: "prompt", label: "Prompt", column: of.prompt_tokens_per_second },
      ]),
      requests: toSeries(times, [
        { key: "running", label: "Running", column: of.running },
        { key: "queued", label: "Waiting", column: of.queued },
      ]),
      memory: toSeries(times, [
        { key: "kv", label: "Running requests", column: of.kv_bytes },
        { key: "prompts", label: "Prompt cache", column: of.memory_bytes },
      ]),
    }),
    [times, of],
  );
  return (
    <ChartGrid>
      <ChartCard
        title="Time to first token"
        description="Of the requests within the minute before."
        series={series.latency}
        marks={marks}
        formatY={formatDuration}
        emptyText="No requests in this time."
      />
      <ChartCard
        title="Throughput"
        description="Tokens per second."
        series={series.throughput}
        marks={marks}
        emptyText="No requests in this time."
      />
      <ChartCard title="Requests" series={series.requests} marks={marks} formatY={formatWhole} />
      <ChartCard
        title="Memory of prompts"
        description="Keys and values."
        series={series.memory}
        marks={marks}
        formatY={formatBytes}
      />
    </ChartGrid>
  );
}
