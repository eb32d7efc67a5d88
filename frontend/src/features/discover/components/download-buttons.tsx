"use client";

import { Pause, Play, X } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { formatBytes } from "@/lib/format/bytes";
import { useDownloadActions } from "../api";
import { type Download, possibleActions } from "../lib/download-state";

const ConfirmDialog = dynamic(() => import("@/components/app/confirm-dialog").then((module) => module.ConfirmDialog), {
  ssr: false,
});

/** Pause, resume and cancel, as far as the download's state allows. */
export function DownloadButtons({ download }: { download: Download }) {
  const { change, cancel } = useDownloadActions();
  const [isAsking, setAsking] = useState(false);
  const { canPause, canResume, canCancel } = possibleActions(download);
  const { id, repo_id: name } = download;
  const isPending = (verb: string) => change.isPending && change.variables.verb === verb;
  return (
    <div className="flex flex-wrap gap-2">
      {canResume ? (
        <Button
          size="sm"
          variant={download.status === "failed" ? "default" : "outline"}
          aria-label={`${download.status === "failed" ? "Try again" : "Resume"}: ${name}`}
          pending={isPending("resume")}
          onClick={() => change.mutate({ id, verb: "resume" })}
        >
          <Play aria-hidden />
          {download.status === "failed" ? "Try again" : "Resume"}
        </Button>
      ) : null}
      {canPause ? (
        <Button
          size="sm"
          variant="outline"
          aria-label={`Pause: ${name}`}
          pending={isPending("pause")}
          onClick={() => change.mutate({ id, verb: "pause" })}
        >
          <Pause aria-hidden />
          Pause
        </Button>
      ) : null}
      {canCancel ? (
        <Button size="sm" variant="ghost" aria-label={`Cancel: ${name}`} onClick={() => setAsking(true)}>
          <X aria-hidden />
          Cancel
        </Button>
      ) : null}
      {isAsking ? (
        <ConfirmDialog
          open
          onOpenChange={setAsking}
          title={`Cancel the download of ${name}?`}
          action="Cancel the download"
          onConfirm={() => cancel.mutateAsync(id)}
        >
          {download.num_bytes_done > 0
            ? `The ${formatBytes(download.num_bytes_done)} that are here will be deleted. To keep them, pause it instead.`
            : "Nothing has arrived yet."}
        </ConfirmDialog>
      ) : null}
    </div>
  );
}
