"use client";

import { useQuery } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { Checkbox } from "@/components/ui/checkbox";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ApiError } from "@/lib/api/errors";
import { formErrors } from "@/lib/api/field-errors";
import { formatCount } from "@/lib/format/numbers";
import { type Dataset, datasetDependents } from "../api";
import { countEdits, type Edits, type EditTarget, objectionsByTarget, toWire } from "../lib/edits";
import { useEditRows } from "../mutations";

interface SaveEditsDialogProps {
  dataset: Dataset;
  edits: Edits;
  onObjections: (objections: ReadonlyMap<EditTarget, string>) => void;
  onSaved: () => void;
  onClose: () => void;
}

export function SaveEditsDialog({ dataset, edits, onObjections, onSaved, onClose }: SaveEditsDialogProps) {
  const router = useRouter();
  const save = useEditRows(dataset.id);
  const [name, setName] = useState("");
  const [replaces, setReplaces] = useState(false);
  const { data: dependents } = useQuery({ ...datasetDependents(dataset.id), staleTime: 0 });
  const isTrainedOn = dependents ? dependents.jobs.length + dependents.versions.length > 0 : true;
  const wire = toWire(edits);
  const objections = objectionsByTarget(save.error instanceof ApiError ? save.error.fields : [], wire.targets);
  const told = formErrors(save.error, ["name"]);

  function submit() {
    save.mutate(
      { edits: wire.edits, name: name.trim() || null, replaces_original: replaces },
      {
        onSuccess(saved) {
          toastSuccess(`${saved.name} is saved`, { description: formatCount(saved.num_rows, "row") });
          onSaved();
          onClose();
          router.push(`/datasets/${saved.id}`);
        },
        onError(error) {
          onObjections(objectionsByTarget(error instanceof ApiError ? error.fields : [], wire.targets));
        },
      },
    );
  }

  return (
    <FormDialog
      title="Save as a new version"
      description={`${formatCount(countEdits(edits).total, "change")} become a dataset with a checksum of its own. Jobs keep the rows that they were trained on.`}
      action="Save"
      pending={save.isPending}
      message={objections.size ? namedObjections(objections) : told.other}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field
        label="Name"
        error={told.fields.name}
        hint={replaces ? "Without one it keeps its name." : "Without one, a version number is added."}
      >
        {(control) => (
          <Input
            {...control}
            value={name}
            maxLength={200}
            autoComplete="off"
            placeholder={replaces ? dataset.name : `${dataset.name}-v2`}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field
        inline
        label="Replace this dataset"
        hint={
          dependents && isTrainedOn
            ? "Not possible: something was trained on it, so it stays as it is."
            : "It is deleted in the same step."
        }
      >
        {(control) => (
          <Checkbox
            {...control}
            checked={replaces}
            disabled={isTrainedOn}
            onCheckedChange={(checked) => setReplaces(checked === true)}
          />
        )}
      </Field>
    </FormDialog>
  );
}

function namedObjections(objections: ReadonlyMap<EditTarget, string>): string {
  return [...objections]
    .map(([target, message]) => `${typeof target === "number" ? `Row ${target}` : "New row"}: ${message}`)
    .join(" ");
}
