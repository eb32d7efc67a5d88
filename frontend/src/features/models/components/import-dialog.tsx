"use client";

import { useState } from "react";
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
import { formErrors } from "@/lib/api/field-errors";
import { useImportModel } from "../mutations";
import { FormAlert } from "./form-alert";

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
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>Import a folder</DialogTitle>
          <DialogDescription>
            Copies a model&apos;s data files, never code, into the model cache and registers it. The folder stays as it is.
          </DialogDescription>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          <DialogBody>
            <FormAlert message={told.other} />
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
            <Field label="Name" error={told.fields.name} hint="It is called local/<name>. Without one, the folder's name.">
              {(control) => (
                <Input
                  {...control}
                  value={name}
                  maxLength={96}
                  spellCheck={false}
                  onChange={(event) => setName(event.target.value)}
                />
              )}
            </Field>
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={start.isPending} disabled={!path.trim()}>
              Import
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
