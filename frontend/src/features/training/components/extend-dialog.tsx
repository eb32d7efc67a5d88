"use client";

import { type FormEvent, useState } from "react";
import { Alert, AlertDescription } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import {
  Dialog,
  DialogBody,
  DialogClose,
  DialogContent,
  DialogDescription,
  DialogFooter,
  DialogHeader,
  DialogTitle,
} from "@/components/ui/dialog";
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

  function submit(event: FormEvent) {
    event.preventDefault();
    if (isWhole) extend.mutate(unit === "steps" ? { steps: number } : { epochs: number }, { onSuccess: onClose });
  }

  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>Train {job.name} longer</DialogTitle>
          <DialogDescription>
            It goes on from where it ended, at step {formatInteger(job.num_steps)}. The result is another version of{" "}
            {job.adapter_name}.
          </DialogDescription>
        </DialogHeader>
        <form noValidate className="flex min-w-0 flex-col" onSubmit={submit}>
          <DialogBody>
            {told.other ? (
              <Alert variant="destructive" role="alert">
                <AlertDescription className="col-span-2 col-start-1">{told.other}</AlertDescription>
              </Alert>
            ) : null}
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
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={extend.isPending}>
              Train longer
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
