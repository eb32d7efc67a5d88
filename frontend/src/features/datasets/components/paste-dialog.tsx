"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type FileKind, fileOfText, guessKind } from "../lib/upload-file";

const KINDS = [
  { value: "jsonl", label: "JSONL" },
  { value: "table", label: "Table" },
  { value: "text", label: "Plain text" },
] as const;

interface PasteDialogProps {
  /** What was pasted already. */
  text: string;
  onClose: () => void;
  onFile: (file: File) => void;
}

/** Text that becomes a file to upload. */
export function PasteDialog({ text: pasted, onClose, onFile }: PasteDialogProps) {
  const [text, setText] = useState(pasted);
  const [chosen, setChosen] = useState<FileKind | null>(null);
  const kind = chosen ?? guessKind(text);
  return (
    <FormDialog
      title="Paste rows"
      description="One JSON object a line, a table with a header line, or paragraphs of text."
      action="Continue"
      disabled={!text.trim()}
      className="max-w-2xl"
      onSubmit={() => onFile(fileOfText(text, kind))}
      onClose={onClose}
    >
      <Field
        label="Text"
        action={<ToggleGroup aria-label="Kind of text" options={KINDS} value={kind} onValueChange={setChosen} />}
      >
        {(control) => (
          <Textarea
            {...control}
            autoFocus
            spellCheck={false}
            className="max-h-[50dvh] min-h-48 font-mono text-xs"
            placeholder={'{"prompt": "Who built the bridge?", "completion": "Maria built it."}'}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        )}
      </Field>
    </FormDialog>
  );
}
