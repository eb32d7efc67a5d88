"use client";

import { useMemo } from "react";
import { Cpu, Gauge, Thermometer, Zap } from "lucide-react";
import { type HubMetrics, type ServingMetrics } from "@/components/app/metrics-queries";
import { Section } from "@/components/app/page";
import { StatCard, StatGrid } from "@/components/app/stat-card";
import { StackedBar } from "@/components/charts/stacked-bar";
import { type ChartMark } from "@/components/charts/uplot-options";
import { Card, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { formatBytes } from "@/lib/format/bytes";
import { ABSENT, formatInteger, formatNumber, formatPercent } from "@/lib/format/numbers";
import { newest } from "@/lib/metrics/history";
import { memoryParts, toSeries } from "../lib/series";
import { ChartCard, ChartGrid } from "./chart-card";

type Machine = ServingMetrics | HubMetrics;

interface AcceleratorSectionProps {
  metrics: Machine;
  /** What the inference server may take. */
  limitBytes: number | null;
  marks: readonly ChartMark[];
}

/** The accelerator: how busy, how warm, and what its memory holds. What no sensor tells is said to be unknown. */
export function AcceleratorSection({ metrics, limitBytes, marks }: AcceleratorSectionProps) {
  const { accelerator, accelerator_series: of, times } = metrics;
  const series = useMemo(
    () => ({
      busy: toSeries(times, [{ key: "utilisation", label: "Utilisation", column: of.utilization_percent, scale: 0.01 }]),
      power: toSeries(times, [
        { key: "power", label: "Accelerator", column: of.power_watts },
        { key: "system_power", label: "Whole machine", column: of.system_power_watts, isDashed: true },
      ]),
      memory: toSeries(times, [
        { key: "active", label: "Active", column: of.mlx_active_bytes },
        { key: "cache", label: "Cache", column: of.mlx_cache_bytes },
        { key: "peak", label: "Peak", column: of.mlx_peak_bytes, isDashed: true },
        { key: "used", label: "Used by all", column: of.memory_used_bytes },
      ]),
    }),
    [times, of],
  );
  return (
    <Section title="Accelerator" description={about(accelerator)}>
      <AcceleratorFigures metrics={metrics} />
      <MemoryCard metrics={metrics} limitBytes={limitBytes} />
      <ChartGrid>
        <ChartCard
          title="Memory over time"
          series={series.memory}
          marks={marks}
          formatY={formatBytes}
          emptyText="No memory figures yet: nothing has been loaded."
        />
        {series.busy.length ? (
          <ChartCard title="Utilisation over time" series={series.busy} marks={marks} formatY={formatPercent} />
        ) : null}
        {series.power.length ? <ChartCard title="Power over time" series={series.power} marks={marks} formatY={watts} /> : null}
      </ChartGrid>
    </Section>
  );
}

/** What it is, and why some of its figures are not known. */
function about({ name, reason }: Machine["accelerator"]): string {
  return [name, reason].filter(Boolean).join(" · ") || "No sensor tells what it is.";
}

const watts = (value: number) => `${formatNumber(value)} W`;

function AcceleratorFigures({ metrics }: { metrics: Machine }) {
  const { accelerator_series: of } = metrics;
  const sensor = (value: number | null, format: (value: number) => string, detail?: string) => ({
    value: value === null ? ABSENT : format(value),
    detail: value === null ? "Not available on this host" : detail,
  });
  const busy = newest(of.utilization_percent);
  const clock = newest(of.frequency_mhz);
  const system = newest(of.system_power_watts);
  return (
    <StatGrid>
      <StatCard
        label="Utilisation"
        icon={Gauge}
        {...sensor(busy, (value) => formatPercent(value / 100), clock === null ? undefined : `${formatInteger(clock)} MHz`)}
      />
      <StatCard
        label="Power"
        icon={Zap}
        {...sensor(newest(of.power_watts), watts, system === null ? undefined : `${watts(system)} the whole machine`)}
      />
      <StatCard
        label="Temperature"
        icon={Thermometer}
        {...sensor(newest(of.temperature_celsius), (value) => `${formatInteger(value)} °C`)}
      />
      <StatCard
        label="Peak memory"
        icon={Cpu}
        value={formatBytes(newest(of.mlx_peak_bytes))}
        detail="The most that MLX has held since its start"
      />
    </StatGrid>
  );
}

function MemoryCard({ metrics, limitBytes }: { metrics: Machine; limitBytes: number | null }) {
  const { accelerator_series: of, host, host_series: ofHost } = metrics;
  const parts = memoryParts(of, { used: ofHost.memory_used_bytes, totalBytes: host.memory_total_bytes });
  return (
    <Card>
      <CardHeader>
        <CardTitle>Memory</CardTitle>
        <CardDescription>
          Active holds models and prompts; cache is kept for reuse and given back when needed.
          {limitBytes === null ? null : ` The inference server may take ${formatBytes(limitBytes)}.`}
        </CardDescription>
      </CardHeader>
      <CardContent>
        <StackedBar
          label="Memory"
          total={parts.total}
          format={formatBytes}
          segments={[
            { key: "active", label: "Active", value: parts.active, color: 1 },
            { key: "cache", label: "Cache", value: parts.cache, color: 2 },
            { key: "other", label: "Other", value: parts.other, color: "muted" },
          ]}
        />
        <p className="mt-2 text-xs text-muted-foreground tabular-nums">
          {formatBytes(parts.free)} free of {formatBytes(parts.total)}
        </p>
      </CardContent>
    </Card>
  );
}
