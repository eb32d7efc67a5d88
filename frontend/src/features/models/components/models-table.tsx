"use client";

import Link from "next/link";
import { useState } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable, type Sort } from "@/components/app/data-table";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Pagination } from "@/components/ui/pagination";
import { ABSENT } from "@/lib/format/numbers";
import { useAdapterSizes, useModelRows } from "../hooks/use-model-rows";
import { type Model, type ModelRow, type SortColumn, sortRows } from "../lib/model-rows";
import { StateBadge } from "./state-badge";

const PAGE_SIZE = 25;

const COLUMNS: readonly Column<ModelRow>[] = [
  { id: "name", header: "Name", sortable: true, className: "max-w-48 sm:max-w-64 md:max-w-80", cell: nameCell },
  { id: "state", header: "State", sortable: true, cell: (row) => <StateBadge state={row.state} isPinned={row.isPinned} /> },
  { id: "size", header: "Size", sortable: true, align: "right", cell: (row) => <ByteSize bytes={row.numBytes} /> },
  { id: "quantization", header: "Quantisation", className: "hidden md:table-cell", cell: (row) => row.quantization ?? ABSENT },
  { id: "base", header: "Base", className: "hidden max-w-56 lg:table-cell", cell: baseCell },
  {
    id: "added",
    header: "Added",
    sortable: true,
    className: "hidden whitespace-nowrap md:table-cell",
    cell: (row) => <RelativeTime at={row.model.created_at} className="text-muted-foreground" />,
  },
  {
    id: "used",
    header: "Last used",
    sortable: true,
    className: "hidden whitespace-nowrap lg:table-cell",
    cell: (row) => <RelativeTime at={row.lastUsedAt} className="text-muted-foreground" />,
  },
];

interface ModelsTableProps {
  models: readonly Model[];
  sort: { id: SortColumn; direction: Sort["direction"] };
  onSortChange: (sort: Sort) => void;
}

export function ModelsTable({ models, sort, onSortChange }: ModelsTableProps) {
  const [page, setPage] = useState(1);
  const rows = sortRows(useModelRows(models), sort.id, sort.direction);
  // A shorter list may no longer have the page.
  const shown = Math.min(page, Math.max(1, Math.ceil(rows.length / PAGE_SIZE)));
  const inSight = useAdapterSizes(rows.slice((shown - 1) * PAGE_SIZE, shown * PAGE_SIZE));
  return (
    <div className="flex flex-col gap-3">
      <DataTable
        label="Models"
        columns={COLUMNS}
        rows={inSight}
        rowKey={(row) => row.model.id}
        href={(row) => `/models/${row.model.id}`}
        sort={sort}
        onSortChange={onSortChange}
      />
      <Pagination page={shown} pageSize={PAGE_SIZE} total={rows.length} onPageChange={setPage} noun="models" />
    </div>
  );
}

function nameCell({ model }: ModelRow) {
  return (
    <span className="flex min-w-0 flex-col">
      <span className="truncate">{model.name}</span>
      <span className="flex items-center gap-1 text-xs font-normal text-muted-foreground">
        {model.type === "adapter" ? "Adapter" : "Base model"}
        {model.latest_version === null ? null : <span>· v{model.latest_version}</span>}
        {Object.entries(model.aliases)
          .filter(([alias]) => alias !== "latest")
          .map(([alias, version]) => (
            <Badge key={alias} variant="primary">
              {alias} v{version}
            </Badge>
          ))}
      </span>
    </span>
  );
}

function baseCell({ model }: ModelRow) {
  if (!model.base_model_id) return <span className="block truncate text-muted-foreground">{model.base_model}</span>;
  return (
    <Link href={`/models/${model.base_model_id}`} className="block truncate text-muted-foreground hover:underline">
      {model.base_model}
    </Link>
  );
}
