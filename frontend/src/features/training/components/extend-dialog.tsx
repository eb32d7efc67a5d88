"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { formErrors } from "@/lib/api/field-errors";
import { formatInteger } from "@/lib/format/numbers";
import { type JobDetails } from "../lib/job-state";
import { useExtendJob } from "../mutations";

type Unit = "epochs" | "steps";

const UNITS = [
  { value: "epochs", label: "Epochs" },
  { value: "steps", label: "Steps" },
] as const;

/** A completed job goes on; its result is another version. */
export function ExtendDialog({ job, onClose }: { job: JobDetails; onClose: () => void }) {
  const extend = useExtendJob(job.id);
  const [unit, setUnit] = useState<Unit>(job.config.steps ? "steps" : "epochs");
  const doneEpochs = Number(job.config.epochs ?? 1);
  const suggested = { epochs: String(doneEpochs * 2), steps: String(job.num_steps * 2) };
  const [typed, setTyped] = useState<Partial<Record<Unit, string>>>({});
  const value = typed[unit] ?? suggested[unit];
  const number = Number(value);
  const isWhole = value.trim() !== "" && Number.isInteger(number) && number > 0;
  const told = formErrors(extend.error, ["steps", "epochs"]);

  function submit() {
    if (isWhole) extend.mutate(unit === "steps" ? { steps: number } : { epochs: number }, { onSuccess: onClose });
  }

  return (
    <FormDialog
      noValidate
      title={`Train ${job.name} longer`}
      description={`It goes on from where it ended, at step ${formatInteger(job.num_steps)}. The result is another version of ${job.adapter_name}.`}
      action="Train longer"
      pending={extend.isPending}
      message={told.other}
      onSubmit={submit}
      onClose={onClose}
    >
      <ToggleGroup aria-label="Counted in" options={UNITS} value={unit} onValueChange={setUnit} />
      <Field
        label={`${unit === "steps" ? "Steps" : "Epochs"} in all`}
        hint={`Until now: ${formatInteger(unit === "steps" ? job.num_steps : doneEpochs)}.`}
        error={isWhole ? told.fields[unit] : "Give a whole number above 0."}
      >
        {(control) => (
          <Input
            {...control}
            inputMode="numeric"
            autoComplete="off"
            value={value}
            onChange={(event) => {
              extend.reset();
              setTyped((known) => ({ ...known, [unit]: event.target.value }));
            }}
          />
        )}
      </Field>
    </FormDialog>
  );
}
