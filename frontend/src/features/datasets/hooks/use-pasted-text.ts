"use client";

import { useEffect } from "react";

interface PasteOptions {
  onText: (text: string) => void;
  onFiles: (files: File[]) => void;
  /** While a dialog is open it takes what is pasted. */
  isActive: boolean;
}

/** What is pasted anywhere on the page, but not into a field. */
export function usePastedText({ onText, onFiles, isActive }: PasteOptions): void {
  useEffect(() => {
    if (!isActive) return;
    const take = (event: ClipboardEvent) => {
      const { target, clipboardData } = event;
      if (!clipboardData || (target instanceof Element && target.closest("input, textarea, [contenteditable], [role=dialog]")))
        return;
      const files = [...clipboardData.files];
      const text = clipboardData.getData("text/plain");
      if (files.length) onFiles(files);
      else if (text.trim()) onText(text);
      else return;
      event.preventDefault();
    };
    document.addEventListener("paste", take);
    return () => document.removeEventListener("paste", take);
  }, [onText, onFiles, isActive]);
}
