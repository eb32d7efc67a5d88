"use client";

import { useQuery } from "@tanstack/react-query";
import Link from "next/link";
import { ErrorState } from "@/components/app/error-state";
import { Button } from "@/components/ui/button";
import { Card, CardAction, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { Progress } from "@/components/ui/progress";
import { Skeleton } from "@/components/ui/skeleton";
import { type Backend } from "@/lib/api/client";
import { formatBytes, formatBytesOf } from "@/lib/format/bytes";
import { ABSENT, formatCount, formatPercent } from "@/lib/format/numbers";
import { systemState } from "../api";

/** Memory, disk and the room of the model cache. */
export function MachineCard() {
  const { data, error, refetch, isFetching } = useQuery(systemState);
  return (
    <Card>
      <CardHeader>
        <CardTitle>Machine</CardTitle>
        <CardDescription>{data?.machines[0]?.device ?? "Memory and disk"}</CardDescription>
        <CardAction>
          <Button variant="ghost" size="sm" asChild>
            <Link href="/metrics">Metrics</Link>
          </Button>
        </CardAction>
      </CardHeader>
      <CardContent className="flex flex-col gap-4">
        {data ? (
          barsOf(data).map((bar) => <UsageBar key={bar.name} {...bar} />)
        ) : error ? (
          <ErrorState error={error} what="the machine" onRetry={() => void refetch()} retrying={isFetching} />
        ) : (
          [0, 1, 2].map((item) => <Skeleton key={item} className="h-9" />)
        )}
      </CardContent>
    </Card>
  );
}

interface Usage {
  name: string;
  used: number | null;
  total: number | null;
  note: string | null;
}

function barsOf({ host, model_cache: cache }: Backend<"SystemPublic">): Usage[] {
  return [
    {
      name: "Memory",
      used: minus(host.memory_total_bytes, host.memory_available_bytes),
      total: host.memory_total_bytes,
      note: host.cpu_percent === null ? null : `processor ${formatPercent(host.cpu_percent / 100)}`,
    },
    {
      name: "Disk",
      used: minus(host.disk_total_bytes, host.disk_free_bytes),
      total: host.disk_total_bytes,
      note: host.disk_free_bytes === null ? null : `${formatBytes(host.disk_free_bytes)} free`,
    },
    {
      name: "Model cache",
      used: cache.num_bytes + cache.num_bytes_partial,
      total: cache.max_bytes,
      note: formatCount(cache.num_models, "model"),
    },
  ];
}

function minus(total: number | null, rest: number | null): number | null {
  return total === null || rest === null ? null : Math.max(0, total - rest);
}

function UsageBar({ name, used, total, note }: Usage) {
  const share = used === null || !total ? null : Math.min(1, used / total);
  return (
    <div className="flex flex-col gap-1">
      <div className="flex flex-wrap justify-between gap-x-3 text-xs">
        <span className="font-medium">{name}</span>
        <span className="text-muted-foreground tabular-nums">
          {used === null ? ABSENT : formatBytesOf(used, total)}
          {note ? ` · ${note}` : ""}
        </span>
      </div>
      {share === null ? null : <Progress label={`${name}, used`} value={share} tone={share > 0.9 ? "warning" : "primary"} />}
    </div>
  );
}
