"use client";

import { useState } from "react";
import { toastSuccess } from "@/components/app/toasts";
import { Button } from "@/components/ui/button";
import {
  Dialog,
  DialogBody,
  DialogClose,
  DialogContent,
  DialogFooter,
  DialogHeader,
  DialogTitle,
} from "@/components/ui/dialog";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { Textarea } from "@/components/ui/textarea";
import { formErrors } from "@/lib/api/field-errors";
import { type Model } from "../lib/model-rows";
import { formatTags, parseTags } from "../lib/tags";
import { useUpdateModel } from "../mutations";
import { FormAlert } from "./form-alert";

interface EditDialogProps {
  model: Model;
  onClose: () => void;
}

/** Changes what people say of a model. */
export function EditDialog({ model, onClose }: EditDialogProps) {
  const update = useUpdateModel(model.id);
  const [name, setName] = useState(model.name);
  const [description, setDescription] = useState(model.description);
  const [tags, setTags] = useState(formatTags(model.tags));
  const parsed = parseTags(tags);
  const { fields, other } = formErrors(update.error, ["name", "description", "tags"]);

  function submit() {
    if (!parsed.tags) return;
    update.mutate(
      { name: name.trim(), description: description.trim(), tags: parsed.tags },
      {
        onSuccess(changed) {
          toastSuccess(`Changed ${changed.name}`);
          onClose();
        },
      },
    );
  }

  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent aria-describedby={undefined}>
        <DialogHeader>
          <DialogTitle className="break-words">Edit {model.name}</DialogTitle>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          <DialogBody>
            <FormAlert message={other} />
            <Field label="Name" required error={fields.name}>
              {(control) => (
                <Input {...control} value={name} maxLength={200} onChange={(event) => setName(event.target.value)} />
              )}
            </Field>
            <Field label="Description" error={fields.description}>
              {(control) => (
                <Textarea
                  {...control}
                  value={description}
                  maxLength={10_000}
                  onChange={(event) => setDescription(event.target.value)}
                />
              )}
            </Field>
            <Field label="Tags" error={parsed.error ?? fields.tags} hint="One a line, such as team: search.">
              {(control) => <Textarea {...control} rows={3} value={tags} onChange={(event) => setTags(event.target.value)} />}
            </Field>
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={update.isPending} disabled={!name.trim() || !parsed.tags}>
              Save
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
