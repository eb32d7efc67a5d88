"use client";

import { type UseQueryResult } from "@tanstack/react-query";
import { Boxes, Pin } from "lucide-react";
import Link from "next/link";
import { type Column, DataTable } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { RelativeTime } from "@/components/app/relative-time";
import { StatusBadge } from "@/components/app/status-badge";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { type Inference } from "@/lib/api/client";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger } from "@/lib/format/numbers";
import { loadedBytes, servedRows, type ServedRow } from "../lib/served";

const MAX_SHOWN = 6;

/** What the inference server offers, with what is in memory first. */
export function ServedSection({ query }: { query: UseQueryResult<Inference<"AdminModelList">> }) {
  const { data, error, refetch, isFetching } = query;
  return (
    <Section
      title="Served models"
      description={data ? describe(data) : undefined}
      actions={
        <Button variant="outline" size="sm" asChild>
          <Link href="/models">All models</Link>
        </Button>
      }
    >
      {data ? (
        <DataTable
          label="Served models"
          columns={COLUMNS}
          rows={servedRows(data.models, MAX_SHOWN)}
          rowKey={(row) => row.name}
          href={(row) => `/inference?model=${encodeURIComponent(row.name)}`}
          empty={
            <EmptyState
              icon={Boxes}
              title="Nothing is served"
              description="Models that are downloaded, and adapters that are trained, are served by themselves."
            />
          }
        />
      ) : error ? (
        <ErrorState error={error} what="the served models" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the served models" count={3} />
      )}
    </Section>
  );
}

function describe(list: Inference<"AdminModelList">): string {
  const bytes = loadedBytes(list.models);
  const memory = bytes === null ? "" : `, ${formatBytes(bytes)} of weights`;
  return `${formatInteger(list.loaded_models)} of ${formatInteger(list.total_models)} loaded${memory}`;
}

const COLUMNS: readonly Column<ServedRow>[] = [
  { id: "name", header: "Model", className: "min-w-44", cell: (row) => <span className="break-all">{row.name}</span> },
  {
    id: "state",
    header: "State",
    cell: (row) => (
      <span className="flex gap-1">
        {row.state === "loading" ? <StatusBadge status="running" label="Loading" /> : <StatusBadge status={row.state} />}
        {row.pinned ? (
          <Badge variant="outline">
            <Pin aria-hidden />
            Pinned
          </Badge>
        ) : null}
      </span>
    ),
  },
  { id: "type", header: "Type", cell: (row) => (row.type === "lora" ? "Adapter" : "Base") },
  {
    id: "memory",
    header: "Weights",
    align: "right",
    className: "whitespace-nowrap",
    cell: (row) => formatBytes(row.weight_bytes),
  },
  { id: "active", header: "Requests", align: "right", cell: (row) => formatInteger(row.num_active) },
  {
    id: "used",
    header: "Last used",
    className: "whitespace-nowrap",
    cell: (row) => <RelativeTime at={row.last_used_at} />,
  },
];
