"use client";

import { type ReactNode, useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastInfo } from "@/components/app/toasts";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { formErrors } from "@/lib/api/field-errors";
import { type Model } from "../lib/model-rows";
import { useQuantiseModel } from "../mutations";
import { LocalNameField } from "./local-name-field";

const BITS = [
  { value: "4", label: "4 bits" },
  { value: "8", label: "8 bits" },
] as const;
const GROUPS = [
  { value: "auto", label: "By itself" },
  { value: "32", label: "32" },
  { value: "64", label: "64" },
  { value: "128", label: "128" },
] as const;

interface QuantiseDialogProps {
  model: Model;
  onClose: () => void;
}

/** Makes a smaller model of this one, which stays as it is. */
export function QuantiseDialog({ model, onClose }: QuantiseDialogProps) {
  const start = useQuantiseModel(model.id);
  const [bits, setBits] = useState<(typeof BITS)[number]["value"]>("4");
  const [group, setGroup] = useState<(typeof GROUPS)[number]["value"]>("auto");
  const [name, setName] = useState("");
  const told = formErrors(start.error, ["bits", "group_size", "name"]);

  function submit() {
    const body = {
      bits: Number(bits) as 4 | 8,
      group_size: group === "auto" ? null : (Number(group) as 32 | 64 | 128),
      name: name.trim() || null,
    };
    start.mutate(body, {
      onSuccess(task) {
        toastInfo("The quantisation has begun", { description: `It becomes ${String(task.arguments.name)}.` });
        onClose();
      },
    });
  }

  return (
    <FormDialog
      title={`Quantise ${model.name}`}
      description="Makes a smaller, faster model beside this one, and measures what it lost."
      action="Quantise"
      pending={start.isPending}
      message={told.fields.bits ?? told.other}
      onSubmit={submit}
      onClose={onClose}
    >
      <ChoiceRow label="Bits of a weight">
        <ToggleGroup aria-label="Bits of a weight" value={bits} onValueChange={setBits} options={BITS} />
      </ChoiceRow>
      <ChoiceRow label="Weights that share a scale" error={told.fields.group_size}>
        <ToggleGroup aria-label="Weights that share a scale" value={group} onValueChange={setGroup} options={GROUPS} />
      </ChoiceRow>
      <LocalNameField value={name} error={told.fields.name} otherwise={`this model's with -${bits}bit`} onChange={setName} />
    </FormDialog>
  );
}

function ChoiceRow({ label, error, children }: { label: string; error?: string; children: ReactNode }) {
  return (
    <div className="flex flex-col gap-1.5">
      <span className="text-sm font-medium">{label}</span>
      {children}
      {error ? (
        <p role="alert" className="text-xs text-destructive">
          {error}
        </p>
      ) : null}
    </div>
  );
}
