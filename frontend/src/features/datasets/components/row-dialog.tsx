"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { parseRow, type RowContent, textsOf, withText } from "../lib/row-texts";

const MODES = [
  { value: "texts", label: "Texts" },
  { value: "json", label: "JSON" },
] as const;

interface RowDialogProps {
  title: string;
  content: RowContent;
  onSave: (content: RowContent) => void;
  onClose: () => void;
}

/** Changes a row's texts one by one, or all of it as JSON. Nothing is sent yet. */
export function RowDialog({ title, content, onSave, onClose }: RowDialogProps) {
  const [row, setRow] = useState(content);
  const [json, setJSON] = useState<string | null>(textsOf(content).some(({ isPlain }) => isPlain) ? null : asJSON(content));
  const [refusal, setRefusal] = useState<string>();

  /** The row as it is now; null while it cannot be read. */
  function read(): RowContent | null {
    if (json === null) return row;
    const parsed = parseRow(json);
    if ("row" in parsed) return parsed.row;
    setRefusal(parsed.refusal);
    return null;
  }

  function switchTo(mode: "texts" | "json") {
    const current = read();
    if (!current) return;
    setRow(current);
    setRefusal(undefined);
    setJSON(mode === "json" ? asJSON(current) : null);
  }

  function submit() {
    const current = read();
    if (!current) return;
    onSave(current);
    onClose();
  }

  return (
    <FormDialog
      title={title}
      description="Collected with your other changes until you save them as a new version."
      action="Apply"
      className="max-w-2xl"
      onSubmit={submit}
      onClose={onClose}
    >
      <ToggleGroup aria-label="Edit as" options={MODES} value={json === null ? "texts" : "json"} onValueChange={switchTo} />
      {json === null ? (
        textsOf(row)
          .filter(({ isPlain }) => isPlain)
          .map(({ path, label, text }) => (
            <Field key={path.join(".")} label={label}>
              {(control) => (
                <Textarea {...control} value={text} onChange={(event) => setRow(withText(row, path, event.target.value))} />
              )}
            </Field>
          ))
      ) : (
        <Field label="Row as JSON" error={refusal}>
          {(control) => (
            <Textarea
              {...control}
              spellCheck={false}
              className="max-h-[60dvh] min-h-48 font-mono text-xs"
              value={json}
              onChange={(event) => {
                setRefusal(undefined);
                setJSON(event.target.value);
              }}
            />
          )}
        </Field>
      )}
    </FormDialog>
  );
}

function asJSON(row: RowContent): string {
  return JSON.stringify(row, null, 2);
}
