"use client";

import { useQuery } from "@tanstack/react-query";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { RelativeTime } from "@/components/app/relative-time";
import { StackedBar } from "@/components/charts/stacked-bar";
import { Card, CardContent } from "@/components/ui/card";
import { formatBytes } from "@/lib/format/bytes";
import { storage, type Storage } from "../api";

const NAMES: Record<Storage["folders"][number]["name"], string> = {
  models: "Models",
  partial_downloads: "Unfinished downloads",
  datasets: "Datasets",
  runs: "Training runs",
  adapters: "Adapters",
  exports: "Exports",
  mlflow: "MLflow",
  database: "Database",
  other: "Other",
};

export function StorageUsage() {
  const { data, error, refetch, isFetching } = useQuery(storage);
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the storage" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the storage" count={2} />
    );
  }
  const folders = data.folders.filter(({ num_bytes: bytes }) => bytes > 0).sort((a, b) => b.num_bytes - a.num_bytes);
  const total = folders.reduce((sum, { num_bytes: bytes }) => sum + bytes, 0);
  return (
    <Card>
      <CardContent className="flex flex-col gap-2">
        <StackedBar
          label="Storage"
          format={formatBytes}
          segments={folders.map(({ name, num_bytes: bytes }) => ({ key: name, label: NAMES[name], value: bytes }))}
        />
        <p className="text-xs text-muted-foreground tabular-nums">
          {formatBytes(total)} in all{data.is_complete ? "" : ", still counting"}. {formatBytes(data.disk_free_bytes)} free of
          the disk&apos;s {formatBytes(data.disk_total_bytes)}. Measured <RelativeTime at={data.measured_at} />.
        </p>
      </CardContent>
    </Card>
  );
}
