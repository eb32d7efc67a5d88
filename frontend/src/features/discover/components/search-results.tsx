"use client";

import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight, SearchX } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { formatCount } from "@/lib/format/numbers";
import { hubSearch } from "../api";
import { type HubFilter, toQuery } from "../lib/search-params";
import { HubTable } from "./hub-table";

interface SearchResultsProps {
  filter: HubFilter;
  onPageChange: (page: number) => void;
  onClear: () => void;
}

export function SearchResults({ filter, onPageChange, onClear }: SearchResultsProps) {
  const { data, error, refetch, isFetching, isPlaceholderData } = useQuery(hubSearch(toQuery(filter)));
  if (!data) {
    return error ? (
      <ErrorState error={error} what="models of the hub" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="models of the hub" count={8} />
    );
  }
  if (data.items.length === 0 && !isPlaceholderData) {
    return (
      <EmptyState
        icon={SearchX}
        title="No model matches"
        description={
          filter.mlxOnly ? "Try other words, fewer filters, or models of every format." : "Try other words or fewer filters."
        }
        action={
          <Button variant="outline" onClick={onClear}>
            Clear the search
          </Button>
        }
      />
    );
  }
  return (
    <div
      className={cn("flex flex-col gap-3 transition-opacity", isPlaceholderData && "opacity-60")}
      aria-busy={isPlaceholderData}
    >
      {error ? <ErrorState error={error} what="newer results" onRetry={() => void refetch()} retrying={isFetching} /> : null}
      <HubTable label="Models on the hub" models={data.items} />
      <p role="status" className="sr-only">
        {isPlaceholderData ? "Searching" : `${formatCount(data.items.length, "model")} on page ${data.page}`}
      </p>
      {data.page > 1 || data.has_more ? (
        <ResultPages page={data.page} hasMore={data.has_more} onPageChange={onPageChange} />
      ) : null}
    </div>
  );
}

interface ResultPagesProps {
  page: number;
  hasMore: boolean;
  onPageChange: (page: number) => void;
}

/** The hub does not say how many there are. */
function ResultPages({ page, hasMore, onPageChange }: ResultPagesProps) {
  return (
    <nav aria-label="Pages of models" className="flex items-center justify-between gap-2 text-xs text-muted-foreground">
      Page {page}
      <span className="flex gap-1.5">
        <Button variant="outline" size="sm" disabled={page <= 1} onClick={() => onPageChange(page - 1)}>
          <ChevronLeft aria-hidden />
          Previous
        </Button>
        <Button variant="outline" size="sm" disabled={!hasMore} onClick={() => onPageChange(page + 1)}>
          Next
          <ChevronRight aria-hidden />
        </Button>
      </span>
    </nav>
  );
}
