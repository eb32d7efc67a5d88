"use client";

import { useState } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable } from "@/components/app/data-table";
import { RelativeTime } from "@/components/app/relative-time";
import { StatusBadge } from "@/components/app/status-badge";
import { Button } from "@/components/ui/button";
import { Pagination } from "@/components/ui/pagination";
import { Switch } from "@/components/ui/switch";
import { useDownloadActions } from "../api";
import { type Download } from "../lib/download-state";
import { DownloadButtons } from "./download-buttons";

const PAGE_SIZE = 25;

const COLUMNS: readonly Column<Download>[] = [
  {
    id: "name",
    header: "Model",
    className: "max-w-72",
    cell: (download) => <span className="truncate">{download.repo_id}</span>,
  },
  {
    id: "status",
    header: "State",
    cell: (download) => (
      <span title={download.error_message ?? undefined}>
        <StatusBadge status={download.status} />
      </span>
    ),
  },
  {
    id: "size",
    header: "Size",
    align: "right",
    cell: (download) => <ByteSize bytes={download.num_bytes_total || null} />,
  },
  {
    id: "completed",
    header: "Finished",
    className: "hidden whitespace-nowrap lg:table-cell",
    cell: (download) => <RelativeTime at={download.completed_at} className="text-muted-foreground" />,
  },
  {
    id: "used",
    header: "Last used",
    className: "hidden whitespace-nowrap md:table-cell",
    cell: (download) => <RelativeTime at={download.last_used_at} className="text-muted-foreground" />,
  },
  {
    id: "actions",
    header: "Actions",
    headerHidden: true,
    cell: (download) => (download.status === "ready" ? <KeepSwitch download={download} /> : <Again download={download} />),
  },
];

/** Downloads that have come to an end, well or not. */
export function EndedDownloads({ downloads }: { downloads: readonly Download[] }) {
  const [page, setPage] = useState(1);
  return (
    <div className="flex flex-col gap-3">
      <DataTable
        label="Finished downloads"
        columns={COLUMNS}
        rows={downloads.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)}
        rowKey={(download) => download.id}
        href={(download) => `/discover/${download.repo_id}`}
      />
      <Pagination page={page} pageSize={PAGE_SIZE} total={downloads.length} onPageChange={setPage} noun="downloads" />
    </div>
  );
}

/** A kept model is never removed to make room for another. */
function KeepSwitch({ download }: { download: Download }) {
  const { setPinned } = useDownloadActions();
  return (
    <span className="flex items-center gap-2 text-xs">
      <Switch
        aria-label={`Keep ${download.repo_id} in the cache`}
        checked={download.is_pinned}
        disabled={setPinned.isPending}
        onCheckedChange={(isPinned) => setPinned.mutate({ id: download.id, isPinned })}
      />
      <span aria-hidden>Keep</span>
    </span>
  );
}

function Again({ download }: { download: Download }) {
  const { start } = useDownloadActions();
  if (download.status === "failed") return <DownloadButtons download={download} />;
  return (
    <Button
      size="sm"
      variant="outline"
      pending={start.isPending}
      aria-label={`Download again: ${download.repo_id}`}
      onClick={() => start.mutate(download.repo_id)}
    >
      Download again
    </Button>
  );
}
