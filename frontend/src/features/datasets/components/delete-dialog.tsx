"use client";

import { useQuery } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { ConfirmDialog } from "@/components/app/confirm-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { describeError } from "@/lib/api/errors";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";
import { type Dataset, datasetDependents } from "../api";
import { useDeleteDataset } from "../mutations";

const NAMED = 5;

/** Says what goes and what stays, then deletes. */
export function DeleteDialog({ dataset, onClose }: { dataset: Dataset; onClose: () => void }) {
  const router = useRouter();
  const remove = useDeleteDataset(dataset.id);
  return (
    <ConfirmDialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={`Delete ${dataset.name}?`}
      action="Delete"
      onConfirm={async () => {
        await remove.mutateAsync(undefined);
        toastSuccess(`${dataset.name} is deleted`);
        router.push("/datasets");
      }}
    >
      <Consequences dataset={dataset} />
    </ConfirmDialog>
  );
}

function Consequences({ dataset }: { dataset: Dataset }) {
  const { data, error } = useQuery({ ...datasetDependents(dataset.id), staleTime: 0 });
  if (error) return <p>What depends on it could not be read: {describeError(error).message}</p>;
  if (!data) return <p role="status">Looking at what depends on it…</p>;
  const versions = data.versions.map(({ model_name, version }) => `${model_name} v${version}`);
  return (
    <div className="flex flex-col gap-2">
      <p>
        {formatCount(dataset.num_rows, "row")} and {formatBytes(data.num_bytes)} go for good.
      </p>
      {data.blockers.map((blocker) => (
        <p key={blocker} className="text-warning">
          {blocker}
        </p>
      ))}
      {data.jobs.length || versions.length ? (
        <p>
          What was trained on it stays, and no longer knows its data:{" "}
          {named(
            data.jobs.map(({ name }) => name),
            "job",
          )}
          {versions.length ? `; ${named(versions, "version")}` : null}.
        </p>
      ) : (
        <p>No job and no model version was trained on it.</p>
      )}
    </div>
  );
}

/** "2 jobs (a, b)" */
function named(names: readonly string[], noun: string): string {
  if (!names.length) return `no ${noun}`;
  const shown = names.slice(0, NAMED).join(", ");
  return `${formatCount(names.length, noun)} (${shown}${names.length > NAMED ? ", …" : ""})`;
}
