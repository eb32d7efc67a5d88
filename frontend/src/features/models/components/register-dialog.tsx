"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";
import { toastSuccess } from "@/components/app/toasts";
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
import { Textarea } from "@/components/ui/textarea";
import { formErrors } from "@/lib/api/field-errors";
import { parseTags } from "../lib/tags";
import { useRegisterModel } from "../mutations";
import { BaseModelField } from "./base-model-field";
import { FormAlert } from "./form-alert";

const FIELDS = ["name", "base_model", "description", "tags"] as const;
const EMPTY = { name: "", base_model: "", description: "", tags: "" };

type Draft = typeof EMPTY;

/** Puts weights that are here, or are to come from the hub, into the registry under a name. */
export function RegisterDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>Register a model</DialogTitle>
          <DialogDescription>A name for weights. To get new weights, download a model in Discover.</DialogDescription>
        </DialogHeader>
        <RegisterForm onClose={onClose} />
      </DialogContent>
    </Dialog>
  );
}

function RegisterForm({ onClose }: { onClose: () => void }) {
  const router = useRouter();
  const register = useRegisterModel();
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [missing, setMissing] = useState<Partial<Draft>>({});
  const told = formErrors(register.error, FIELDS);
  const errors = { ...told.fields, ...missing };
  const set = (name: keyof Draft) => (value: string) => {
    setDraft((known) => ({ ...known, [name]: value }));
    setMissing((known) => ({ ...known, [name]: undefined }));
  };

  function submit() {
    const { tags, error } = parseTags(draft.tags);
    const problems = findProblems(draft, error);
    setMissing(problems);
    if (!tags || Object.keys(problems).length > 0) return;
    const body = { name: draft.name.trim(), base_model: draft.base_model.trim(), description: draft.description.trim(), tags };
    register.mutate(body, {
      onSuccess(model) {
        toastSuccess(`Registered ${model.name}`);
        onClose();
        router.push(`/models/${model.id}`);
      },
    });
  }

  return (
    <form
      noValidate
      className="flex min-w-0 flex-col"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <DialogBody>
        <FormAlert message={told.other} />
        <Field label="Name" required error={errors.name} hint="What it is called everywhere; no other model has it.">
          {(control) => (
            <Input
              {...control}
              value={draft.name}
              maxLength={200}
              autoComplete="off"
              onChange={(event) => set("name")(event.target.value)}
            />
          )}
        </Field>
        <BaseModelField value={draft.base_model} error={errors.base_model} onChange={set("base_model")} />
        <Field label="Description" error={errors.description}>
          {(control) => (
            <Textarea
              {...control}
              value={draft.description}
              maxLength={10_000}
              onChange={(event) => set("description")(event.target.value)}
            />
          )}
        </Field>
        <Field label="Tags" error={errors.tags} hint="One a line, such as team: search.">
          {(control) => (
            <Textarea {...control} rows={2} value={draft.tags} onChange={(event) => set("tags")(event.target.value)} />
          )}
        </Field>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" pending={register.isPending}>
          Register
        </Button>
      </DialogFooter>
    </form>
  );
}

function findProblems(draft: Draft, tagsError: string | null): Partial<Draft> {
  return {
    ...(draft.name.trim() ? {} : { name: "Give it a name." }),
    ...(draft.base_model.trim() ? {} : { base_model: "Say which weights it stands for." }),
    ...(tagsError ? { tags: tagsError } : {}),
  };
}
