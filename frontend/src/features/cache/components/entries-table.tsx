"use client";

import { type UseQueryResult } from "@tanstack/react-query";
import { Layers, Trash2 } from "lucide-react";
import { useMemo, useState } from "react";
import { type Column, DataTable, type Sort } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount, formatInteger } from "@/lib/format/numbers";
import { type CacheEntry } from "../api";
import { nameReason } from "../lib/cache-series";
import { sortEntries } from "../lib/sort-entries";

interface EntriesTableProps {
  query: UseQueryResult<CacheEntry[]>;
  isOff: boolean;
  onWarmUp: () => void;
  onRemove: (entry: CacheEntry) => void;
}

export function EntriesTable({ query, isOff, onWarmUp, onRemove }: EntriesTableProps) {
  const { data, error, refetch, isFetching } = query;
  return (
    <Section title="Entries" description={data?.length ? formatCount(data.length, "stored prompt") : undefined}>
      {data ? (
        data.length ? (
          <Entries entries={data} onRemove={onRemove} />
        ) : (
          <EmptyState
            icon={Layers}
            title="Nothing stored yet"
            description="System prompts are stored by themselves when a chat uses them. Warming one up makes its first answer fast too."
            action={
              isOff ? undefined : (
                <Button variant="outline" onClick={onWarmUp}>
                  Warm up a prompt
                </Button>
              )
            }
          />
        )
      ) : error ? (
        <ErrorState error={error} what="the entries" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the entries" />
      )}
    </Section>
  );
}

function Entries({ entries, onRemove }: { entries: CacheEntry[]; onRemove: (entry: CacheEntry) => void }) {
  const [sort, setSort] = useState<Sort>({ id: "used", direction: "desc" });
  const rows = useMemo(() => sortEntries(entries, sort), [entries, sort]);
  const columns = useMemo(() => [...COLUMNS, removeColumn(onRemove)], [onRemove]);
  return (
    <DataTable
      label="Stored prompts"
      columns={columns}
      rows={rows}
      rowKey={(entry) => entry.cache_key}
      sort={sort}
      onSortChange={setSort}
    />
  );
}

const COLUMNS: readonly Column<CacheEntry>[] = [
  {
    id: "preview",
    header: "Prompt",
    className: "min-w-56",
    cell: (entry) => (
      <span className="flex flex-col gap-0.5">
        <span className="line-clamp-2 break-words">{entry.prompt_preview || "Without text"}</span>
        <span className="text-xs break-all text-muted-foreground">
          {nameReason(entry.kind)} · {entry.model_id}
        </span>
      </span>
    ),
  },
  { id: "tokens", header: "Tokens", align: "right", sortable: true, cell: (entry) => formatInteger(entry.token_count) },
  {
    id: "bytes",
    header: "Size",
    align: "right",
    sortable: true,
    className: "whitespace-nowrap",
    cell: (entry) => formatBytes(entry.num_bytes),
  },
  {
    id: "tiers",
    header: "Tier",
    cell: (entry) => (
      <span className="flex gap-1">
        {entry.tiers.map((tier) => (
          <Badge key={tier} variant={tier === "memory" ? "primary" : "neutral"} className="capitalize">
            {tier}
          </Badge>
        ))}
      </span>
    ),
  },
  { id: "hits", header: "Hits", align: "right", sortable: true, cell: (entry) => formatInteger(entry.hits) },
  {
    id: "used",
    header: "Last used",
    sortable: true,
    className: "whitespace-nowrap",
    cell: (entry) => <RelativeTime at={entry.last_used} />,
  },
];

function removeColumn(onRemove: (entry: CacheEntry) => void): Column<CacheEntry> {
  return {
    id: "remove",
    header: "Actions",
    headerHidden: true,
    align: "right",
    cell: (entry) => (
      <Button
        variant="ghost"
        size="icon-sm"
        aria-label={`Delete ${entry.prompt_preview.slice(0, 40) || entry.cache_key}`}
        title="Delete"
        onClick={() => onRemove(entry)}
      >
        <Trash2 aria-hidden />
      </Button>
    ),
  };
}
