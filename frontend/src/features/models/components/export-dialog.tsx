"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { toastInfo } from "@/components/app/toasts";
import { RadioCard, RadioGroup } from "@/components/ui/radio-group";
import { type Backend } from "@/lib/api/client";
import { formErrors } from "@/lib/api/field-errors";
import { type Model, type Version } from "../lib/model-rows";
import { useExportModel } from "../mutations";

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

  function submit() {
    start.mutate(
      { format, version: version.version },
      {
        onSuccess() {
          toastInfo("The export has begun", { description: "Its archive shows under Exports." });
          onClose();
        },
      },
    );
  }

  return (
    <FormDialog
      title={`Export v${version.version}`}
      description="The worker makes an archive, which you can download when it is done."
      action="Export"
      pending={start.isPending}
      message={fields.format ?? fields.version ?? other}
      onSubmit={submit}
      onClose={onClose}
    >
      <RadioGroup aria-label="Format" value={format} onValueChange={(value) => setFormat(value as Format)}>
        {FORMATS.map(({ value, title, text }) => (
          <RadioCard key={value} value={value} aria-label={title}>
            <span className="font-medium">{title}</span>
            <span className="text-xs text-muted-foreground">{text}</span>
          </RadioCard>
        ))}
      </RadioGroup>
    </FormDialog>
  );
}
