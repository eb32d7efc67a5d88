"use client";

import { useQuery } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { ConfirmDialog } from "@/components/app/confirm-dialog";
import { ErrorState } from "@/components/app/error-state";
import { toastSuccess } from "@/components/app/toasts";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Spinner } from "@/components/ui/spinner";
import { type Backend } from "@/lib/api/client";
import { modelDependents } from "../api";
import { describeLosses } from "../lib/consequences";
import { type Model } from "../lib/model-rows";
import { useDeleteModel } from "../mutations";

interface DeleteDialogProps {
  model: Model;
  onClose: () => void;
}

/** Says first what goes with the model, and what hinders. */
export function DeleteDialog({ model, onClose }: DeleteDialogProps) {
  const router = useRouter();
  const remove = useDeleteModel(model.id);
  // Asked anew each time: what was true when the page opened may no longer be.
  const { data, error, refetch, isFetching } = useQuery({ ...modelDependents(model.id), staleTime: 0 });
  const isKnown = data !== undefined && !isFetching;
  return (
    <ConfirmDialog
      open
      onOpenChange={onClose}
      title={`Delete ${model.name}?`}
      action="Delete"
      disabled={!isKnown || !data.can_delete}
      onConfirm={async () => {
        await remove.mutateAsync();
        toastSuccess(`Deleted ${model.name}`);
        router.push("/models");
      }}
    >
      {isKnown ? (
        <Consequences dependents={data} />
      ) : error && !isFetching ? (
        <ErrorState error={error} what="what depends on it" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <span role="status" className="flex items-center gap-2">
          <Spinner />
          Looking at what depends on it
        </span>
      )}
    </ConfirmDialog>
  );
}

function Consequences({ dependents }: { dependents: Backend<"ModelDependentsPublic"> }) {
  if (!dependents.can_delete) {
    return (
      <Alert variant="warning" className="text-foreground">
        <AlertTitle className="col-span-2 col-start-1">It cannot be deleted now. It is needed by</AlertTitle>
        <AlertDescription className="col-span-2 col-start-1">
          <ul className="list-disc pl-4">
            {dependents.blockers.map((blocker) => (
              <li key={blocker}>{blocker}</li>
            ))}
          </ul>
        </AlertDescription>
      </Alert>
    );
  }
  return (
    <ul aria-label="Consequences" className="flex list-disc flex-col gap-1 pl-4">
      {describeLosses(dependents).map((loss) => (
        <li key={loss}>{loss}</li>
      ))}
    </ul>
  );
}
