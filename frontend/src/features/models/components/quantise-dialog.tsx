"use client";

import { type ReactNode, useState } from "react";
import { toastInfo } from "@/components/app/toasts";
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
import { type Model } from "../lib/model-rows";
import { useQuantiseModel } from "../mutations";
import { FormAlert } from "./form-alert";

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
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle className="break-words">Quantise {model.name}</DialogTitle>
          <DialogDescription>Makes a smaller, faster model beside this one, and measures what it lost.</DialogDescription>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          <DialogBody>
            <FormAlert message={told.fields.bits ?? told.other} />
            <ChoiceRow label="Bits of a weight">
              <ToggleGroup aria-label="Bits of a weight" value={bits} onValueChange={setBits} options={BITS} />
            </ChoiceRow>
            <ChoiceRow label="Weights that share a scale" error={told.fields.group_size}>
              <ToggleGroup aria-label="Weights that share a scale" value={group} onValueChange={setGroup} options={GROUPS} />
            </ChoiceRow>
            <Field
              label="Name"
              error={told.fields.name}
              hint={`It is called local/<name>. Without one, this model's with -${bits}bit.`}
            >
              {(control) => (
                <Input
                  {...control}
                  value={name}
                  maxLength={96}
                  spellCheck={false}
                  autoComplete="off"
                  onChange={(event) => setName(event.target.value)}
                />
              )}
            </Field>
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={start.isPending}>
              Quantise
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
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
