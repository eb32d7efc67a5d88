"use client";

import { ClipboardPaste, FileUp } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { ACCEPTED } from "../lib/upload-file";

interface DropZoneProps {
  onFiles: (files: File[]) => void;
  onPaste: () => void;
}

/** Takes files dropped anywhere on the page, chosen with the button, or text that is pasted. */
export function DropZone({ onFiles, onPaste }: DropZoneProps) {
  const isOver = useDroppedFiles(onFiles);
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <section
      aria-label="Upload a dataset"
      data-over={isOver}
      className={cn(
        "flex flex-wrap items-center justify-between gap-4 rounded-xl border border-dashed bg-card px-5 py-5 transition-colors",
        isOver && "border-solid border-primary bg-primary-soft",
      )}
    >
      <div className="flex min-w-0 flex-1 basis-64 flex-col gap-1">
        <h2 className="text-sm font-semibold">{isOver ? "Drop to upload" : "Drop files here, or paste rows"}</h2>
        <p className="text-sm text-pretty text-muted-foreground">
          JSONL or JSON with messages, prompt and completion, or text; CSV and TSV; plain text, a row for each paragraph.
        </p>
      </div>
      <div className="flex flex-wrap gap-2">
        <Button variant="outline" onClick={onPaste}>
          <ClipboardPaste aria-hidden />
          Paste text
        </Button>
        <Button onClick={() => chooser.current?.click()}>
          <FileUp aria-hidden />
          Choose files
        </Button>
        <input
          ref={chooser}
          type="file"
          multiple
          hidden
          accept={ACCEPTED}
          aria-label="Dataset files"
          onChange={(event) => {
            const files = [...(event.target.files ?? [])];
            // So that the same file can be chosen again.
            event.target.value = "";
            if (files.length) onFiles(files);
          }}
        />
      </div>
    </section>
  );
}

/** Whether files are being dragged over the page; it takes them wherever they fall. */
function useDroppedFiles(onFiles: (files: File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  const take = useRef(onFiles);
  useEffect(() => {
    take.current = onFiles;
  });
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length) take.current(files);
    };
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, []);
  return isOver;
}
