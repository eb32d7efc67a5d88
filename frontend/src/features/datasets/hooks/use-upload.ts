"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { isAbort } from "@/lib/api/errors";
import { keys } from "@/lib/api/query-keys";
import { currentRate, type ProgressRate, remainingSeconds, startRate, updateRate } from "@/lib/format/progress";
import { type Dataset } from "../api";
import { sendDataset, type Upload } from "../upload";

export type UploadState =
  | { phase: "idle" }
  | { phase: "sending"; sentBytes: number; totalBytes: number; bytesPerSecond: number | null; remainingSeconds: number | null }
  /** All bytes are there; the backend reads the rows. */
  | { phase: "checking" }
  | { phase: "failed"; error: unknown };

/** One upload at a time. It is cancelled when its component goes. */
export function useUpload(onDone: (dataset: Dataset) => void) {
  const client = useQueryClient();
  const [state, setState] = useState<UploadState>({ phase: "idle" });
  const sending = useRef<AbortController | null>(null);

  useEffect(() => () => sending.current?.abort(), []);

  async function start(upload: Upload) {
    const controller = new AbortController();
    sending.current = controller;
    let rate: ProgressRate = startRate({ at: performance.now(), done: 0 });
    const onProgress = (sentBytes: number, totalBytes: number) => {
      const now = performance.now();
      rate = updateRate(rate, { at: now, done: sentBytes });
      if (sentBytes >= totalBytes) setState({ phase: "checking" });
      else {
        const left = remainingSeconds(rate, totalBytes, now);
        const bytesPerSecond = currentRate(rate, now);
        setState({ phase: "sending", sentBytes, totalBytes, bytesPerSecond, remainingSeconds: left });
      }
    };
    onProgress(0, upload.file.size);
    try {
      const dataset = await sendDataset(upload, { onProgress, signal: controller.signal });
      void client.invalidateQueries({ queryKey: keys.datasets.lists });
      setState({ phase: "idle" });
      onDone(dataset);
    } catch (error) {
      setState(isAbort(error) ? { phase: "idle" } : { phase: "failed", error });
    }
  }

  return { state, start, cancel: () => sending.current?.abort() };
}
