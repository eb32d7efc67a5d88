"use client";

import { useQuery } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable } from "@/components/app/data-table";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { ABSENT, formatCount, formatInteger } from "@/lib/format/numbers";
import { type Dataset, datasetDependents } from "../api";
import { formatName } from "../lib/labels";
import { UsableRows } from "./usable-rows";

const COLUMNS: readonly Column<Dataset>[] = [
  { id: "name", header: "Name", cell: ({ name }) => <span className="max-w-72 truncate">{name}</span> },
  { id: "format", header: "Format", cell: ({ format }) => <Badge variant="outline">{formatName(format)}</Badge> },
  { id: "rows", header: "Rows", align: "right", cell: ({ num_rows }) => formatInteger(num_rows) },
  { id: "usable", header: "Check", cell: (dataset) => <UsableRows dataset={dataset} /> },
  {
    id: "size",
    header: "Size",
    align: "right",
    cell: ({ num_bytes }) => <ByteSize bytes={num_bytes} />,
    className: "whitespace-nowrap",
  },
  { id: "use", header: "Use", cell: ({ id }) => <Use id={id} />, className: "whitespace-nowrap" },
  {
    id: "hash",
    header: "SHA-256",
    cell: ({ sha256 }) => (
      <code title={sha256} className="font-mono text-xs text-muted-foreground">
        {sha256.slice(0, 10)}
      </code>
    ),
  },
  {
    id: "created",
    header: "Added",
    cell: ({ created_at }) => <RelativeTime at={created_at} />,
    className: "whitespace-nowrap",
  },
];

export function DatasetsTable({ datasets }: { datasets: readonly Dataset[] }) {
  return (
    <DataTable
      label="Datasets"
      columns={COLUMNS}
      rows={datasets}
      rowKey={({ id }) => id}
      href={({ id }) => `/datasets/${id}`}
    />
  );
}

/** How many jobs were trained on it. */
function Use({ id }: { id: string }) {
  const { data, isError } = useQuery(datasetDependents(id));
  if (isError) {
    return (
      <span className="inline-flex items-center gap-1 text-muted-foreground" title="Could not be read">
        <CircleAlert aria-hidden className="size-3.5" />
        Unknown
      </span>
    );
  }
  if (!data) return <span className="text-muted-foreground">{ABSENT}</span>;
  return data.jobs.length ? (
    <span>{formatCount(data.jobs.length, "job")}</span>
  ) : (
    <span className="text-muted-foreground">Not used</span>
  );
}
