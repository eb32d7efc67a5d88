"use client";

import { useQuery } from "@tanstack/react-query";
import { Boxes, Download as DownloadIcon, MessageSquareText } from "lucide-react";
import Link from "next/link";
import { ByteSize } from "@/components/app/byte-size";
import { StatusBadge } from "@/components/app/status-badge";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { formatBytes } from "@/lib/format/bytes";
import { allDownloads, cacheUsage, useDownloadActions } from "../api";
import { byRepository, type Download, isUnfinished } from "../lib/download-state";
import { DownloadButtons } from "./download-buttons";
import { DownloadProgress } from "./download-progress";

/** Brings the model here, and then leads to it. It goes on when one leaves the page. */
export function DownloadPanel({ model }: { model: Backend<"HubModelDetails"> }) {
  const { data } = useQuery({ ...allDownloads, refetchInterval: useFallbackInterval() });
  const download = data && byRepository(data.items).get(model.repo_id);
  return (
    <Card>
      <CardHeader>
        <CardTitle>Download</CardTitle>
      </CardHeader>
      <CardContent className="flex flex-col gap-3">
        {download && isUnfinished(download) ? (
          <>
            <DownloadProgress download={download} />
            <DownloadButtons download={download} />
          </>
        ) : download?.status === "ready" ? (
          <Ready download={download} />
        ) : download?.status === "failed" ? (
          <Failed download={download} />
        ) : (
          <StartDownload model={model} wasEvicted={download?.status === "evicted"} />
        )}
      </CardContent>
    </Card>
  );
}

function StartDownload({ model, wasEvicted }: { model: Backend<"HubModelDetails">; wasEvicted: boolean }) {
  const { start } = useDownloadActions();
  const { data: usage } = useQuery(cacheUsage);
  const isTooLarge = usage !== undefined && model.download_bytes > Math.min(usage.free_disk_bytes, usage.max_bytes);
  return (
    <>
      <p className="text-xs text-muted-foreground">
        {wasEvicted ? "It was here, and was removed to make room. " : ""}
        {formatBytes(model.download_bytes)} in all.
        {usage ? ` ${formatBytes(usage.free_disk_bytes)} are free on the disk.` : ""}
      </p>
      {isTooLarge ? (
        <Alert variant="warning">
          <AlertDescription className="col-span-2 col-start-1">
            {model.download_bytes > usage.max_bytes
              ? `It is larger than the whole model cache, ${formatBytes(usage.max_bytes)} (MODEL_CACHE_MAX_SIZE).`
              : "It is larger than the free space of the disk. Delete models that you no longer need first."}
          </AlertDescription>
        </Alert>
      ) : null}
      <Button disabled={!model.has_access} pending={start.isPending} onClick={() => start.mutate(model.repo_id)}>
        <DownloadIcon aria-hidden />
        Download
      </Button>
      {model.has_access ? null : (
        <p className="text-xs text-muted-foreground">Possible once its terms are accepted and a token is set.</p>
      )}
    </>
  );
}

function Ready({ download }: { download: Download }) {
  return (
    <>
      <p className="flex items-center justify-between gap-2">
        <StatusBadge status="ready" label="On this machine" />
        <ByteSize bytes={download.num_bytes_total} className="text-xs text-muted-foreground" />
      </p>
      <div className="flex flex-wrap gap-2">
        <Button asChild size="sm">
          <Link href={`/inference?model=${encodeURIComponent(download.repo_id)}`}>
            <MessageSquareText aria-hidden />
            Chat with it
          </Link>
        </Button>
        {download.model_id ? (
          <Button asChild size="sm" variant="outline">
            <Link href={`/models/${download.model_id}`}>
              <Boxes aria-hidden />
              Open the model
            </Link>
          </Button>
        ) : null}
      </div>
    </>
  );
}

function Failed({ download }: { download: Download }) {
  return (
    <>
      <Alert variant="destructive">
        <AlertTitle className="col-span-2 col-start-1">The download failed</AlertTitle>
        <AlertDescription className="col-span-2 col-start-1">{download.error_message}</AlertDescription>
      </Alert>
      <p className="text-xs text-muted-foreground">
        {download.num_bytes_done > 0 ? `It goes on from ${formatBytes(download.num_bytes_done)}.` : "It begins anew."}
      </p>
      <DownloadButtons download={download} />
    </>
  );
}
