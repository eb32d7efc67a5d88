"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";
import { toastSuccess } from "@/components/app/toasts";
import { Dialog, DialogContent, DialogDescription, DialogHeader, DialogTitle } from "@/components/ui/dialog";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { UploadForm } from "./upload-form";

interface UploadDialogProps {
  files: readonly File[];
  onClose: () => void;
}

/** One file after the other. A single one leads to its page. */
export function UploadDialog({ files, onClose }: UploadDialogProps) {
  const router = useRouter();
  const [index, setIndex] = useState(0);
  const file = files[index] as File;
  const isLast = index === files.length - 1;

  function next() {
    if (isLast) onClose();
    else setIndex(index + 1);
  }

  function finish(dataset: Dataset) {
    toastSuccess(`${dataset.name} is here`, { description: formatCount(dataset.num_rows, "row") });
    if (files.length === 1) router.push(`/datasets/${dataset.id}`);
    next();
  }

  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      {/* A click beside the dialog must not end an upload. */}
      <DialogContent onInteractOutside={(event) => event.preventDefault()}>
        <DialogHeader>
          <DialogTitle>Upload a dataset</DialogTitle>
          <DialogDescription className="break-words">
            {file.name} · {formatBytes(file.size)}
            {files.length > 1 ? ` · file ${index + 1} of ${files.length}` : null}
          </DialogDescription>
        </DialogHeader>
        <UploadForm key={index} file={file} onDone={finish} onSkip={next} skipLabel={isLast ? "Cancel" : "Skip this file"} />
      </DialogContent>
    </Dialog>
  );
}
