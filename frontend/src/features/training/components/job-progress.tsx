"use client";

import { Gauge, Timer, TrendingDown } from "lucide-react";
import { ProgressBar } from "@/components/app/progress-bar";
import { StatCard, StatGrid } from "@/components/app/stat-card";
import { formatBytes } from "@/lib/format/bytes";
import { ABSENT, formatInteger, formatNumber } from "@/lib/format/numbers";
import { formatDuration, formatTokensPerSecond, secondsBetween } from "@/lib/format/time";
import { bestOf, type Curves } from "../lib/curves";
import { isActive, type JobDetails } from "../lib/job-state";

const TONES = { completed: "success", failed: "destructive", cancelled: "warning" } as const;

interface JobProgressProps {
  job: JobDetails;
  curves: Curves | undefined;
}

/** How far it is, and its newest numbers. */
export function JobProgress({ job, curves }: JobProgressProps) {
  return (
    <section aria-label="Progress" className="flex flex-col gap-4">
      <Steps job={job} />
      <Numbers job={job} curves={curves} />
    </section>
  );
}

function Steps({ job }: { job: JobDetails }) {
  const hasSteps = job.num_steps > 0;
  const isRunning = job.status === "running";
  return (
    <ProgressBar
      label="Steps of the job"
      value={hasSteps ? job.progress : isRunning ? null : 0}
      amount={hasSteps ? `step ${formatInteger(job.step)} of ${formatInteger(job.num_steps)}` : describeWait(job)}
      rate={isRunning && job.tokens_per_second !== null ? formatTokensPerSecond(job.tokens_per_second) : null}
      remainingSeconds={isRunning ? job.remaining_seconds : null}
      tone={isActive(job) ? "primary" : TONES[job.status as keyof typeof TONES]}
    />
  );
}

function Numbers({ job, curves }: JobProgressProps) {
  const best = bestOf(curves, "val_loss");
  const memory = curves?.peak_memory_bytes?.at(-1)?.value;
  return (
    <StatGrid>
      <StatCard label="Train loss" icon={TrendingDown} value={formatNumber(job.train_loss)} detail="Of the newest step" />
      <StatCard
        label="Validation loss"
        icon={TrendingDown}
        value={formatNumber(job.val_loss)}
        detail={
          best
            ? `Best ${formatNumber(best.value)} at step ${formatInteger(best.step)}`
            : "No row is held out, or not measured yet"
        }
      />
      <StatCard
        label="Speed"
        icon={Gauge}
        value={formatTokensPerSecond(job.tokens_per_second)}
        detail={memory === undefined ? "Memory not measured yet" : `${formatBytes(memory)} of memory at most`}
      />
      <StatCard
        label={isActive(job) ? "Running for" : "Took"}
        icon={Timer}
        value={formatDuration(secondsBetween(job.started_at, job.completed_at))}
        detail={job.attempt > 0 ? `Attempt ${formatInteger(job.attempt + 1)}` : "First attempt"}
      />
    </StatGrid>
  );
}

function describeWait(job: JobDetails): string {
  if (job.status === "running") return "The rows are being counted";
  if (job.status !== "queued") return "It ended before its first step";
  return job.queue_position === 1 ? "Next in the queue" : `Place ${job.queue_position ?? ABSENT} in the queue`;
}
