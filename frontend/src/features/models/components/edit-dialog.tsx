"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { type Model } from "../lib/model-rows";
import { formatTags, parseTags } from "../lib/tags";
import { useUpdateModel } from "../mutations";
import { AboutFields } from "./about-fields";

interface EditDialogProps {
  model: Model;
  onClose: () => void;
}

/** Changes what people say of a model. */
export function EditDialog({ model, onClose }: EditDialogProps) {
  const update = useUpdateModel(model.id);
  const [name, setName] = useState(model.name);
  const [about, setAbout] = useState({ description: model.description, tags: formatTags(model.tags) });
  const parsed = parseTags(about.tags);
  const { fields, other } = formErrors(update.error, ["name", "description", "tags"]);

  function submit() {
    if (!parsed.tags) return;
    update.mutate(
      { name: name.trim(), description: about.description.trim(), tags: parsed.tags },
      {
        onSuccess(changed) {
          toastSuccess(`Changed ${changed.name}`);
          onClose();
        },
      },
    );
  }

  return (
    <FormDialog
      title={`Edit ${model.name}`}
      action="Save"
      pending={update.isPending}
      disabled={!name.trim() || !parsed.tags}
      message={other}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field label="Name" required error={fields.name}>
        {(control) => <Input {...control} value={name} maxLength={200} onChange={(event) => setName(event.target.value)} />}
      </Field>
      <AboutFields
        value={about}
        errors={{ ...fields, ...(parsed.error ? { tags: parsed.error } : {}) }}
        onChange={(change) => setAbout((known) => ({ ...known, ...change }))}
      />
    </FormDialog>
  );
}
