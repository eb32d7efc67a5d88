"use client";

import { useState } from "react";
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
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent className="max-w-2xl">
        <DialogHeader>
          <DialogTitle>Paste rows</DialogTitle>
          <DialogDescription>One JSON object a line, a table with a header line, or paragraphs of text.</DialogDescription>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            onFile(fileOfText(text, kind));
          }}
        >
          <DialogBody>
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
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" disabled={!text.trim()}>
              Continue
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
