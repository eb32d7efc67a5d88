"use client";

import { useQuery } from "@tanstack/react-query";
import { StackedBar } from "@/components/charts/stacked-bar";
import { Card, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { formatBytes, formatBytesOf } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";
import { cacheUsage } from "../api";

/** What the model cache takes, of what it may. Nothing while that is unknown: the downloads are what one came for. */
export function CacheUsage() {
  const { data } = useQuery(cacheUsage);
  if (!data) return null;
  return (
    <Card>
      <CardHeader>
        <CardTitle>Model cache</CardTitle>
        <CardDescription>
          {formatCount(data.num_models, "model")}. When it is full, those that were not used for longest and are not kept make
          room.
        </CardDescription>
      </CardHeader>
      <CardContent>
        <StackedBar
          label="Model cache"
          total={data.max_bytes}
          format={formatBytes}
          segments={[
            { key: "models", label: "Models", value: data.num_bytes },
            { key: "partial", label: "Unfinished", value: data.num_bytes_partial },
          ]}
        />
        <p className="mt-2 text-xs text-muted-foreground tabular-nums">
          {formatBytesOf(data.num_bytes + data.num_bytes_partial, data.max_bytes)} · {formatBytes(data.free_disk_bytes)} free on
          the disk
        </p>
      </CardContent>
    </Card>
  );
}
