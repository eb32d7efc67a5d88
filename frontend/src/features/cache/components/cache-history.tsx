"use client";

import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { LIVE_MS, servingMetrics } from "@/components/app/metrics-queries";
import { TimeSeriesChart } from "@/components/charts/time-series-chart";
import { Card, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { formatInteger, formatPercent } from "@/lib/format/numbers";
import { hitRate, missSeries } from "../lib/cache-series";

/** Hit rate, and what misses were due to, over the last minutes. */
export function CacheHistory() {
  const { data, error, refetch, isFetching } = useQuery({ ...servingMetrics, refetchInterval: 2 * LIVE_MS });
  const rate = useMemo(() => {
    if (!data) return [];
    const { cache_hits: hits, cache_misses: misses } = data.serving_series;
    return [{ key: "hit_rate", label: "Hit rate", x: data.times, y: hitRate(hits, misses) }];
  }, [data]);
  const misses = useMemo(() => (data ? missSeries(data.times, data.serving_series.misses_by_reason) : []), [data]);
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the history" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the history" shape="cards" count={2} />
    );
  }
  return (
    <div className="grid min-w-0 gap-3 lg:grid-cols-2">
      <Card>
        <CardHeader>
          <CardTitle>Hit rate</CardTitle>
          <CardDescription>Of the lookups within the minute before.</CardDescription>
        </CardHeader>
        <CardContent>
          <TimeSeriesChart
            label="Hit rate"
            series={rate}
            xKind="time"
            syncKey="cache"
            height={200}
            formatY={formatPercent}
            emptyText="No lookups in this time."
          />
        </CardContent>
      </Card>
      <Card>
        <CardHeader>
          <CardTitle>Misses by reason</CardTitle>
          <CardDescription>Added up over this time.</CardDescription>
        </CardHeader>
        <CardContent>
          <TimeSeriesChart
            label="Misses by reason"
            series={misses}
            xKind="time"
            syncKey="cache"
            height={200}
            formatY={formatInteger}
            emptyText="No misses in this time."
          />
        </CardContent>
      </Card>
    </div>
  );
}
