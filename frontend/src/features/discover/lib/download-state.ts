/** What a download is doing, and what can be done with it. */
import type { Backend } from "@/lib/api/client";

export type Download = Backend<"DownloadPublic">;

const UNFINISHED = new Set<Download["status"]>(["queued", "running", "paused"]);

export function isUnfinished(download: Download): boolean {
  return UNFINISHED.has(download.status);
}

/** Bytes are arriving, or should. */
export function isFetching(download: Download): boolean {
  return download.status === "running" && download.num_bytes_total > 0 && download.num_bytes_done < download.num_bytes_total;
}

/** What it does at the moment, in a word or two. */
export function describePhase(download: Download): string {
  if (download.status !== "running") return { queued: "Waiting its turn", paused: "Paused" }[download.status as string] ?? "";
  if (download.requested === "pause") return "Pausing";
  if (download.requested === "cancel") return "Cancelling";
  if (download.num_bytes_total === 0) return "Reading the list of files";
  return isFetching(download) ? "Downloading" : "Checking the files";
}

export interface Possible {
  canPause: boolean;
  canResume: boolean;
  canCancel: boolean;
}

export function possibleActions(download: Download): Possible {
  const isWanted = download.requested !== "cancel";
  const isStopping = download.status === "running" && download.requested !== "run";
  return {
    canPause: (download.status === "queued" || download.status === "running") && !isStopping,
    canResume: download.status === "paused" || download.status === "failed",
    canCancel: isUnfinished(download) && (isWanted || download.status !== "running"),
  };
}

/** The download of each repository; of several revisions the one that is under way or newest. */
export function byRepository(downloads: readonly Download[]): Map<string, Download> {
  const found = new Map<string, Download>();
  // The newest come first.
  for (const download of downloads) {
    const known = found.get(download.repo_id);
    if (!known || (isUnfinished(download) && !isUnfinished(known))) found.set(download.repo_id, download);
  }
  return found;
}
