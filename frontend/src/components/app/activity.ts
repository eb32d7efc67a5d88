"use client";

import { useQuery } from "@tanstack/react-query";
import { type Backend } from "@/lib/api/client";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { formatBytesOf, formatBytesPerSecond } from "@/lib/format/bytes";
import { formatInteger } from "@/lib/format/numbers";
import { formatTokensPerSecond } from "@/lib/format/time";
import { activeDownloads, activeJobs, activeTasks } from "./shell-queries";

/** Something that goes on: a training job, a download or a task. */
export interface Activity {
  id: string;
  kind: "Training" | "Download" | "Task";
  title: string;
  href: string;
  status: string;
  /** 0 to 1; null while unknown. */
  progress: number | null;
  amount?: string;
  rate?: string;
  remainingSeconds: number | null;
}

/** What goes on now, what runs before what waits. */
export function useActivities(): Activity[] {
  const refetchInterval = useFallbackInterval();
  const jobs = useQuery({ ...activeJobs, refetchInterval });
  const downloads = useQuery({ ...activeDownloads, refetchInterval });
  const tasks = useQuery({ ...activeTasks, refetchInterval });
  return [
    ...(jobs.data?.items ?? []).map(fromJob),
    ...(downloads.data?.items ?? []).map(fromDownload),
    ...(tasks.data?.items ?? []).map(fromTask),
  ]
    .filter((activity) => UNFINISHED.has(activity.status))
    .sort((a, b) => Number(b.status === "running") - Number(a.status === "running"));
}

/** The stream changes a row in place before the list without it arrives. */
const UNFINISHED = new Set(["queued", "running", "paused"]);

export function fromJob(job: Backend<"TrainingJobPublic">): Activity {
  return {
    id: job.id,
    kind: "Training",
    title: job.name,
    href: `/training/${job.id}`,
    status: job.status,
    progress: job.num_steps > 0 ? job.progress : null,
    amount: job.num_steps > 0 ? `step ${formatInteger(job.step)} of ${formatInteger(job.num_steps)}` : job.phase,
    rate: job.tokens_per_second === null ? undefined : formatTokensPerSecond(job.tokens_per_second),
    remainingSeconds: job.remaining_seconds,
  };
}

export function fromDownload(download: Backend<"DownloadPublic">): Activity {
  const { num_bytes_done: done, num_bytes_total: total } = download;
  return {
    id: download.id,
    kind: "Download",
    title: download.repo_id,
    href: `/discover/${download.repo_id}`,
    status: download.status,
    progress: total > 0 ? done / total : null,
    amount: total > 0 ? formatBytesOf(done, total) : undefined,
    rate: download.bytes_per_second > 0 ? formatBytesPerSecond(download.bytes_per_second) : undefined,
    remainingSeconds: download.remaining_seconds,
  };
}

const TASK_TITLES: Record<string, string> = { export: "Export", quantise: "Quantise", import: "Import" };

export function fromTask(task: Backend<"TaskPublic">): Activity {
  return {
    id: task.id,
    kind: "Task",
    title: TASK_TITLES[task.kind] ?? task.kind,
    href: task.kind === "import" ? "/models" : `/models/${task.subject_id}`,
    status: task.status,
    progress: task.status === "running" ? task.progress : null,
    amount: task.phase,
    remainingSeconds: null,
  };
}
