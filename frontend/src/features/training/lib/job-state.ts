/** What a job's state allows and means. */
import { type Backend } from "@/lib/api/client";

export type Job = Backend<"TrainingJobPublic">;
export type JobDetails = Backend<"TrainingJobDetails">;

export const isActive = ({ status }: Pick<Job, "status">): boolean => status === "queued" || status === "running";

export interface PossibleActions {
  canCancel: boolean;
  canResume: boolean;
  canExtend: boolean;
  canRetry: boolean;
  canDelete: boolean;
}

export function possibleActions(job: Pick<Job, "status" | "is_cancel_requested" | "model_id" | "dataset_id">): PossibleActions {
  const hasEnded = !isActive(job);
  const hasInputs = job.model_id !== null && job.dataset_id !== null;
  return {
    canCancel: !hasEnded && !job.is_cancel_requested,
    canResume: hasInputs && (job.status === "failed" || job.status === "cancelled"),
    canExtend: hasInputs && job.status === "completed",
    canRetry: hasInputs && hasEnded,
    canDelete: hasEnded,
  };
}

const PHASES: Record<string, string> = {
  queued: "Queued",
  preparing: "Reading the rows",
  training: "Training",
  evaluating: "Comparing with the base model",
  registering: "Saving the adapter",
};

/** More than the status says: what a running job does just now, and that one is about to end. */
export function describePhase(
  job: Pick<Job, "status" | "phase" | "is_cancel_requested" | "queue_position">,
): string | undefined {
  if (job.status === "queued") return job.queue_position === null ? undefined : `Queued, place ${job.queue_position}`;
  if (job.status !== "running") return undefined;
  if (job.is_cancel_requested) return "Stopping";
  return PHASES[job.phase];
}

const STEPS: Record<string, string> = {
  out_of_memory: "Take a smaller batch, shorter rows or gradient checkpointing, in a clone of this job.",
  memory: "Take a smaller batch, shorter rows or gradient checkpointing, in a clone of this job.",
  nan_loss: "Clone the job with a lower learning rate, or look for broken rows in the dataset.",
  storage_full: "Free some space on the disk, then resume: it goes on from its newest checkpoint.",
  gpu_watchdog: "Resume: it goes on from its newest checkpoint. A smaller batch makes it less likely.",
  full_needs_unquantised: "Clone the job with LoRA, or train an unquantised model.",
  token_out_of_range: "The tokenizer does not fit the model; download the model again.",
  unknown_module: "Clone the job and correct the names of the modules.",
  too_many_bad_rows: "Mend the rows in Datasets, then train on the new dataset.",
  no_rows: "Mend the rows in Datasets, then train on the new dataset.",
  bad_dataset: "Mend the rows in Datasets, then train on the new dataset.",
  dataset_missing: "Upload the dataset again, then start a new job.",
  dataset_changed: "Train again from the start: the rows are not those that it began with.",
  config_changed: "Train again from the start: the settings are not those that it began with.",
  model_changed: "Train again from the start: the model is not the one that it began with.",
};

/** What to do about a failed job. */
export function nextStepOf(job: Pick<Job, "error_code" | "exit_signal">): string {
  const known = job.error_code ? STEPS[job.error_code] : undefined;
  if (known) return known;
  if (job.exit_signal === 9) return "The system killed it, most often for memory: take a smaller batch, then resume.";
  return "Look at the log for the cause. Resume goes on from the newest checkpoint; Train again begins at step 0.";
}
