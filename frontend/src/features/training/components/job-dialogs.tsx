"use client";

import { useRouter } from "next/navigation";
import { ConfirmDialog } from "@/components/app/confirm-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { formatInteger } from "@/lib/format/numbers";
import { type JobDetails } from "../lib/job-state";
import { useCancelJob, useDeleteJob, useRetryJob } from "../mutations";

interface JobDialogProps {
  job: JobDetails;
  action: "cancel" | "retry" | "delete";
  onClose: () => void;
}

/** Asks before a job is stopped, begun anew or deleted, and says what goes with it. */
export function JobDialog({ job, action, onClose }: JobDialogProps) {
  const onOpenChange = (open: boolean) => !open && onClose();
  const dialogs = { cancel: CancelDialog, retry: RetryDialog, delete: DeleteDialog };
  const Dialog = dialogs[action];
  return <Dialog job={job} onOpenChange={onOpenChange} />;
}

interface OpenDialogProps {
  job: JobDetails;
  onOpenChange: (open: boolean) => void;
}

function CancelDialog({ job, onOpenChange }: OpenDialogProps) {
  const cancel = useCancelJob(job.id);
  const isQueued = job.status === "queued";
  return (
    <ConfirmDialog
      open
      onOpenChange={onOpenChange}
      title={`Stop ${job.name}?`}
      action="Stop the job"
      onConfirm={() => cancel.mutateAsync()}
    >
      {isQueued
        ? "It leaves the queue. You can resume it later."
        : `It saves what it has learned up to step ${formatInteger(job.step)}. You can resume it later from there.`}
    </ConfirmDialog>
  );
}

function RetryDialog({ job, onOpenChange }: OpenDialogProps) {
  const retry = useRetryJob(job.id);
  return (
    <ConfirmDialog
      open
      onOpenChange={onOpenChange}
      title={`Train ${job.name} again from the start?`}
      action="Train again"
      onConfirm={() => retry.mutateAsync()}
    >
      It begins at step 0. Its curves, log and checkpoints go.
      {job.adapter_version === null ? null : ` Version ${formatInteger(job.adapter_version)} that it made stays.`} To keep them,
      clone the job instead.
    </ConfirmDialog>
  );
}

function DeleteDialog({ job, onOpenChange }: OpenDialogProps) {
  const router = useRouter();
  const remove = useDeleteJob(job.id);
  return (
    <ConfirmDialog
      open
      onOpenChange={onOpenChange}
      title={`Delete ${job.name}?`}
      action="Delete"
      onConfirm={async () => {
        await remove.mutateAsync();
        toastSuccess(`Deleted ${job.name}`);
        router.push("/training");
      }}
    >
      Its curves, log and checkpoints go, and it cannot be resumed.
      {job.adapter_version === null
        ? " It has made no adapter."
        : ` ${job.adapter_name}, version ${formatInteger(job.adapter_version)}, stays.`}
    </ConfirmDialog>
  );
}
