"use client";

import { useQuery } from "@tanstack/react-query";
import { Gauge, Layers, Timer, Zap } from "lucide-react";
import { CALM_MS, servingMetrics } from "@/components/app/metrics-queries";
import { StatCard, StatGrid } from "@/components/app/stat-card";
import { Sparkline } from "@/components/charts/sparkline";
import { type ChartColor } from "@/components/charts/series";
import { ABSENT, formatCompact, formatCount, formatPercent } from "@/lib/format/numbers";
import { formatDuration, formatTokensPerSecond } from "@/lib/format/time";
import { hasValues, newest } from "@/lib/metrics/history";
import { cacheStats } from "../api";

/** The last minutes of serving at a glance. */
export function ServingStats() {
  const { data, isPending } = useQuery({ ...servingMetrics, refetchInterval: CALM_MS });
  const of = data?.serving_series;
  return (
    <StatGrid>
      <StatCard
        label="Throughput"
        icon={Gauge}
        loading={isPending}
        value={formatTokensPerSecond(newest(of?.decode_tokens_per_second ?? []))}
        detail={runningNow(of)}
      >
        <Curve name="Throughput" values={of?.decode_tokens_per_second} color={1} />
      </StatCard>
      <StatCard
        label="Time to first token"
        icon={Timer}
        loading={isPending}
        value={formatDuration(newest(of?.ttft_p50_seconds ?? []))}
        detail={slowest(of)}
      >
        <Curve name="Time to first token" values={of?.ttft_p50_seconds} color={3} />
      </StatCard>
      <CacheCards tokensSaved={of?.tokens_saved} />
    </StatGrid>
  );
}

function CacheCards({ tokensSaved }: { tokensSaved: Column | undefined }) {
  const { data, isPending } = useQuery(cacheStats);
  const numLookups = data ? data.total_hits + data.total_misses : 0;
  const share = numLookups ? `Of ${formatCount(numLookups, "lookup")}` : "No lookups since the start";
  return (
    <>
      <StatCard
        label="Cache hit rate"
        icon={Layers}
        loading={isPending}
        value={numLookups ? formatPercent(data?.hit_rate) : ABSENT}
        detail={data ? share : undefined}
      />
      <StatCard
        label="Tokens saved"
        icon={Zap}
        loading={isPending}
        value={formatCompact(data?.tokens_saved)}
        detail="By the prompt cache, since the start"
      >
        <Curve name="Tokens saved" values={tokensSaved} color={2} />
      </StatCard>
    </>
  );
}

type Column = readonly (number | null)[];

function runningNow(of: { running: Column; queued: Column } | undefined): string | undefined {
  const running = newest(of?.running ?? []);
  if (running === null) return undefined;
  const queued = newest(of?.queued ?? []);
  return `${formatCount(running, "request")} running${queued ? `, ${queued} waiting` : ""}`;
}

function slowest(of: { ttft_p95_seconds: Column } | undefined): string | undefined {
  if (!of) return undefined;
  const wait = newest(of.ttft_p95_seconds);
  return wait === null ? "No requests in the last minute" : `95% within ${formatDuration(wait)}`;
}

function Curve({ name, values, color }: { name: string; values: Column | undefined; color: ChartColor }) {
  if (!values || !hasValues(values)) return null;
  return <Sparkline label={`${name}, the last fifteen minutes`} values={values} color={color} />;
}
