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
import { RadioCard, RadioGroup } from "@/components/ui/radio-group";
import { type Backend } from "@/lib/api/client";
import { formErrors } from "@/lib/api/field-errors";
import { type Model, type Version } from "../lib/model-rows";
import { useExportModel } from "../mutations";
import { FormAlert } from "./form-alert";

type Format = Backend<"ExportFormat">;

const FORMATS: readonly { value: Format; title: string; text: string }[] = [
  { value: "adapter", title: "Adapter", text: "As it is, for mlx-lm." },
  { value: "peft", title: "PEFT", text: "The same for transformers, vLLM and llama.cpp." },
  { value: "fused", title: "Fused model", text: "A whole model with the adapter inside, not quantised. Large." },
];

interface ExportDialogProps {
  model: Model;
  version: Version;
  onClose: () => void;
}

/** Starts an export; its progress and its archive show on the model's page. */
export function ExportDialog({ model, version, onClose }: ExportDialogProps) {
  const start = useExportModel(model.id);
  const [format, setFormat] = useState<Format>("adapter");
  const { fields, other } = formErrors(start.error, ["format", "version"]);
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>Export v{version.version}</DialogTitle>
          <DialogDescription>The worker makes an archive, which you can download when it is done.</DialogDescription>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            start.mutate(
              { format, version: version.version },
              {
                onSuccess() {
                  toastInfo("The export has begun", { description: "Its archive shows under Exports." });
                  onClose();
                },
              },
            );
          }}
        >
          <DialogBody>
            <FormAlert message={fields.format ?? fields.version ?? other} />
            <RadioGroup aria-label="Format" value={format} onValueChange={(value) => setFormat(value as Format)}>
              {FORMATS.map(({ value, title, text }) => (
                <RadioCard key={value} value={value} aria-label={title}>
                  <span className="font-medium">{title}</span>
                  <span className="text-xs text-muted-foreground">{text}</span>
                </RadioCard>
              ))}
            </RadioGroup>
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={start.isPending}>
              Export
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
