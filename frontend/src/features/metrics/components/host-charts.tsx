"use client";

import { useMemo } from "react";
import { type HubMetrics, type ServingMetrics } from "@/components/app/metrics-queries";
import { Section } from "@/components/app/page";
import { type ChartMark } from "@/components/charts/uplot-options";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount, formatPercent } from "@/lib/format/numbers";
import { newest } from "@/lib/metrics/history";
import { toSeries } from "../lib/series";
import { ChartCard, ChartGrid } from "./chart-card";

/** Processor, memory and disk of the machine. */
export function HostCharts({ metrics, marks }: { metrics: ServingMetrics | HubMetrics; marks: readonly ChartMark[] }) {
  const { times, host, host_series: of } = metrics;
  const series = useMemo(
    () => ({
      cpu: toSeries(times, [{ key: "cpu", label: "All cores", column: of.cpu_percent, scale: 0.01 }]),
      memory: toSeries(times, [
        { key: "used", label: "Used", column: of.memory_used_bytes },
        { key: "swap", label: "Swap", column: of.swap_used_bytes, isDashed: true },
      ]),
    }),
    [times, of],
  );
  const facts = [
    host.num_cpus === null ? null : formatCount(host.num_cpus, "core"),
    host.memory_total_bytes === null ? null : `${formatBytes(host.memory_total_bytes)} of memory`,
    `${formatBytes(newest(of.disk_free_bytes))} free of ${formatBytes(host.disk_total_bytes)} disk`,
  ];
  return (
    <Section title="Machine" description={facts.filter(Boolean).join(" · ")}>
      <ChartGrid>
        <ChartCard title="Processor" series={series.cpu} marks={marks} formatY={formatPercent} />
        <ChartCard title="Memory of the machine" series={series.memory} marks={marks} formatY={formatBytes} />
      </ChartGrid>
    </Section>
  );
}
