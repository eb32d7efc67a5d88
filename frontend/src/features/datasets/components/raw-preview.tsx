"use client";

import { useQuery } from "@tanstack/react-query";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { useURLPage } from "@/components/app/url-params";
import { Pagination } from "@/components/ui/pagination";
import { ScrollArea } from "@/components/ui/scroll-area";
import { formatInteger } from "@/lib/format/numbers";
import { type Dataset, datasetRows, PREVIEWS_PER_PAGE } from "../api";

/** The JSON of the rows. */
export function RawPreview({ dataset }: { dataset: Dataset }) {
  const { page, setPage } = useURLPage();
  const { data, error, refetch, isFetching } = useQuery(datasetRows(dataset.id, page, PREVIEWS_PER_PAGE));
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the rows" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the rows" />
    );
  }
  return (
    <div className="flex min-w-0 flex-col gap-3">
      {data.items.map((row) => (
        <section key={row.line} aria-label={`Line ${row.line}`} className="flex min-w-0 flex-col rounded-lg border bg-card">
          <h3 className="border-b px-4 py-1.5 text-xs text-muted-foreground">Line {formatInteger(row.line)}</h3>
          <ScrollArea label={`JSON of line ${row.line}`} className="max-h-80">
            <pre className="px-4 py-2 font-mono text-xs">{row.row ? JSON.stringify(row.row, null, 2) : row.start}</pre>
          </ScrollArea>
        </section>
      ))}
      <Pagination page={page} pageSize={data.page_size} total={data.total} noun="rows" onPageChange={setPage} />
    </div>
  );
}
