"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { parseTags } from "../lib/tags";
import { useRegisterModel } from "../mutations";
import { AboutFields } from "./about-fields";
import { BaseModelField } from "./base-model-field";

const FIELDS = ["name", "base_model", "description", "tags"] as const;
const EMPTY = { name: "", base_model: "", description: "", tags: "" };

type Draft = typeof EMPTY;

/** Puts weights that are here, or are to come from the hub, into the registry under a name. */
export function RegisterDialog({ onClose }: { onClose: () => void }) {
  const router = useRouter();
  const register = useRegisterModel();
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [missing, setMissing] = useState<Partial<Draft>>({});
  const told = formErrors(register.error, FIELDS);
  const errors = { ...told.fields, ...missing };

  function change(changed: Partial<Draft>) {
    setDraft((known) => ({ ...known, ...changed }));
    // Undefined also hides what the backend said of the former value.
    setMissing((known) => ({ ...known, ...Object.fromEntries(Object.keys(changed).map((name) => [name, undefined])) }));
  }

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
    <FormDialog
      noValidate
      title="Register a model"
      description="A name for weights. To get new weights, download a model in Discover."
      action="Register"
      pending={register.isPending}
      message={told.other}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field label="Name" required error={errors.name} hint="What it is called everywhere; no other model has it.">
        {(control) => (
          <Input
            {...control}
            value={draft.name}
            maxLength={200}
            autoComplete="off"
            onChange={(event) => change({ name: event.target.value })}
          />
        )}
      </Field>
      <BaseModelField value={draft.base_model} error={errors.base_model} onChange={(base) => change({ base_model: base })} />
      <AboutFields value={draft} errors={errors} onChange={change} />
    </FormDialog>
  );
}

function findProblems(draft: Draft, tagsError: string | null): Partial<Draft> {
  return {
    ...(draft.name.trim() ? {} : { name: "Give it a name." }),
    ...(draft.base_model.trim() ? {} : { base_model: "Say which weights it stands for." }),
    ...(tagsError ? { tags: tagsError } : {}),
  };
}
