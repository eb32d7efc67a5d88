"use client";

import { X } from "lucide-react";
import Link from "next/link";
import { ByteSize } from "@/components/app/byte-size";
import { DownloadLink } from "@/components/app/download-link";
import { ProgressBar } from "@/components/app/progress-bar";
import { RelativeTime } from "@/components/app/relative-time";
import { StatusBadge } from "@/components/app/status-badge";
import { Button } from "@/components/ui/button";
import { type Backend } from "@/lib/api/client";
import { describeTask, madeModelId, taskBytes } from "../lib/tasks";
import { useCancelTask } from "../mutations";

/** An export, a quantisation or an import, with what can be had of it. */
export function TaskRow({ task }: { task: Backend<"TaskPublic"> }) {
  const cancel = useCancelTask();
  const title = describeTask(task);
  const isActive = task.status === "queued" || task.status === "running";
  const modelId = madeModelId(task);
  return (
    <li className="flex flex-col gap-2 px-4 py-2.5 text-sm">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5">
        <span className="min-w-0 font-medium break-words">{title}</span>
        <StatusBadge status={task.status} />
        <span className="flex items-center gap-2 text-xs text-muted-foreground">
          {taskBytes(task) === null ? null : <ByteSize bytes={taskBytes(task)} />}
          <RelativeTime at={task.completed_at ?? task.created_at} />
        </span>
        <span className="ml-auto flex gap-2">
          {task.has_archive ? (
            <DownloadLink
              path={`/api/v1/tasks/${task.id}/archive`}
              name={`${task.id}.tar`}
              text="Download archive"
              size="sm"
              aria-label={`Download archive: ${title}`}
            />
          ) : null}
          {modelId ? (
            <Button asChild size="sm" variant="outline">
              <Link href={`/models/${modelId}`}>Open the model</Link>
            </Button>
          ) : null}
          {isActive ? (
            <Button
              size="sm"
              variant="ghost"
              aria-label={`Cancel: ${title}`}
              pending={cancel.isPending || task.is_cancel_requested}
              onClick={() => cancel.mutate(task.id)}
            >
              <X aria-hidden />
              Cancel
            </Button>
          ) : null}
        </span>
      </div>
      {isActive ? (
        <ProgressBar label={title} value={task.status === "running" ? task.progress : null} amount={task.phase} />
      ) : null}
      {task.status === "failed" ? <p className="text-xs break-words text-destructive">{task.error_message}</p> : null}
    </li>
  );
}
