"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastInfo } from "@/components/app/toasts";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { useImportModel } from "../mutations";
import { LocalNameField } from "./local-name-field";

/** Takes a model from a folder of the server's machine into the model cache. */
export function ImportDialog({ onClose }: { onClose: () => void }) {
  const start = useImportModel();
  const [path, setPath] = useState("");
  const [name, setName] = useState("");
  const told = formErrors(start.error, ["path", "name"]);

  function submit() {
    start.mutate(
      { path: path.trim(), name: name.trim() || null },
      {
        onSuccess(task) {
          toastInfo("The import has begun", { description: `It becomes ${String(task.arguments.name)}.` });
          onClose();
        },
      },
    );
  }

  return (
    <FormDialog
      title="Import a folder"
      description="Copies a model's data files, never code, into the model cache and registers it. The folder stays as it is."
      action="Import"
      pending={start.isPending}
      disabled={!path.trim()}
      message={told.other}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field
        label="Folder"
        required
        error={told.fields.path}
        hint="Its whole path on the machine of the backend, with config.json, model*.safetensors and the tokenizer."
      >
        {(control) => (
          <Input
            {...control}
            value={path}
            maxLength={4096}
            placeholder="/Users/me/models/my-model"
            spellCheck={false}
            onChange={(event) => setPath(event.target.value)}
          />
        )}
      </Field>
      <LocalNameField value={name} error={told.fields.name} otherwise="the folder's name" onChange={setName} />
    </FormDialog>
  );
}
