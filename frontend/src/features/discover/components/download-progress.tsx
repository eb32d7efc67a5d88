"use client";

import { BytesProgressBar } from "@/components/app/progress-bar";
import { describePhase, type Download, isFetching } from "../lib/download-state";
import { useDownloadRate } from "../hooks/use-download-rate";

/** How far an unfinished download is, how fast it comes and how long it will take. */
export function DownloadProgress({ download }: { download: Download }) {
  const rate = useDownloadRate(download);
  const phase = describePhase(download);
  return (
    <div className="flex flex-col gap-1.5">
      <BytesProgressBar
        label={`Download of ${download.repo_id}`}
        doneBytes={download.num_bytes_done}
        totalBytes={download.num_bytes_total || null}
        {...rate}
      />
      <p role="status" className="text-xs text-muted-foreground">
        {isFetching(download) && rate.stalled
          ? "Nothing has arrived for ten seconds. It is tried again by itself; what is here stays."
          : phase}
      </p>
    </div>
  );
}
