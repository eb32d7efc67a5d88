"use client";

import { useQuery } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { type Column, DataTable } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { formatInteger } from "@/lib/format/numbers";
import { cacheMisses, type LostTokens } from "../api";
import { nameReason } from "../lib/cache-series";

/** Parts of prompts that change from request to request, and so cost what stands after them. */
export function LostTokensTable() {
  const { data, error, refetch, isFetching } = useQuery(cacheMisses);
  return (
    <Section
      title="Changing parts"
      description={
        data?.by_kind.length
          ? `${formatInteger(data.lost_tokens)} tokens were computed again because something before them had changed. Move what changes to the end of the prompt.`
          : "What changes from request to request, such as a date, costs all that stands after it."
      }
    >
      {data ? (
        data.by_kind.length ? (
          <DataTable label="Changing parts of prompts" columns={COLUMNS} rows={data.by_kind} rowKey={keyOf} />
        ) : (
          <EmptyState
            icon={CircleCheck}
            title="No changing parts found"
            description="Prompts that begin alike go on alike, as far as the server has seen."
          />
        )
      ) : error ? (
        <ErrorState error={error} what="the changing parts" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the changing parts" count={2} />
      )}
    </Section>
  );
}

const keyOf = (row: LostTokens) => [row.model_id, row.kind, row.message, row.role].join();

const COLUMNS: readonly Column<LostTokens>[] = [
  {
    id: "message",
    header: "Message",
    cell: (row) => (
      <span className="flex flex-col gap-0.5">
        <span className="whitespace-nowrap">
          {row.message === null ? "Beyond messages" : `Message ${row.message + 1}`}
          {row.role ? ` (${row.role})` : ""}
        </span>
        <span className="text-xs break-all text-muted-foreground">{row.model_id}</span>
      </span>
    ),
  },
  { id: "kind", header: "What changes", cell: (row) => nameReason(row.kind) },
  { id: "requests", header: "Requests", align: "right", cell: (row) => formatInteger(row.requests) },
  { id: "lost", header: "Tokens lost", align: "right", cell: (row) => formatInteger(row.lost_tokens) },
  {
    id: "rule",
    header: "Suggested rule",
    className: "min-w-48",
    cell: (row) =>
      row.rule ? <code className="text-xs break-all">{row.rule}</code> : <span className="text-muted-foreground">None</span>,
  },
];
