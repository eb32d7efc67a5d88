"use client";

import Link from "next/link";
import { StatusBadge } from "@/components/app/status-badge";
import { type Download } from "../lib/download-state";
import { DownloadButtons } from "./download-buttons";
import { DownloadProgress } from "./download-progress";

/** An unfinished download in the queue. */
export function DownloadRow({ download }: { download: Download }) {
  return (
    <li className="flex flex-col gap-2.5 px-4 py-3">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5">
        <Link href={`/discover/${download.repo_id}`} className="min-w-0 truncate text-sm font-medium hover:underline">
          {download.repo_id}
        </Link>
        <StatusBadge status={download.status} />
        <div className="ml-auto">
          <DownloadButtons download={download} />
        </div>
      </div>
      <DownloadProgress download={download} />
    </li>
  );
}
