"use client";

import { useQuery } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { useURLPage } from "@/components/app/url-params";
import { Pagination } from "@/components/ui/pagination";
import { formatInteger } from "@/lib/format/numbers";
import { type Dataset, PREVIEWS_PER_PAGE, type RowPreview, tokenPreview } from "../api";
import { type ViewSettings } from "../lib/search-params";
import { tokenRuns } from "../lib/token-runs";
import { TokenLegend, TokenText } from "./token-text";

interface TokenPreviewProps {
  dataset: Dataset;
  modelId: string;
  settings: ViewSettings;
}

/** The tokens of a few rows, and which of them are learned. */
export function TokenPreview({ dataset, modelId, settings }: TokenPreviewProps) {
  const { page, setPage } = useURLPage();
  const { data, error, refetch, isFetching } = useQuery(tokenPreview(dataset.id, modelId, settings, page));
  if (error) return <ErrorState error={error} what="the preview" onRetry={() => void refetch()} retrying={isFetching} />;
  if (!data) return <LoadingState what="the preview" />;
  return (
    <div className="flex min-w-0 flex-col gap-3" aria-busy={isFetching}>
      <TokenLegend />
      {data.rows.map((row) => (
        <PreviewedRow key={row.line} row={row} />
      ))}
      <Pagination page={page} pageSize={PREVIEWS_PER_PAGE} total={data.num_rows} noun="rows" onPageChange={setPage} />
    </div>
  );
}

function PreviewedRow({ row }: { row: RowPreview }) {
  const numCut = Math.max(0, row.num_tokens - row.num_kept);
  const numHidden = row.num_tokens - row.pieces.length;
  return (
    <section aria-label={`Line ${row.line}`} className="flex min-w-0 flex-col gap-2 rounded-lg border bg-card px-4 py-3">
      <h3 className="flex flex-wrap gap-x-3 text-xs text-muted-foreground tabular-nums">
        <span className="font-medium text-foreground">Line {formatInteger(row.line)}</span>
        <span>{formatInteger(row.num_tokens)} tokens</span>
        <span>{formatInteger(row.num_learned)} learned</span>
        {numCut ? <span>{formatInteger(numCut)} cut off</span> : null}
      </h3>
      {row.problem ? (
        <p className="flex items-start gap-1.5 text-xs text-warning">
          <CircleAlert aria-hidden className="mt-px size-3.5 shrink-0" />
          <span className="min-w-0 break-words">{row.problem.message}</span>
        </p>
      ) : null}
      <TokenText runs={tokenRuns(row)} ids={row.token_ids} />
      {numHidden > 0 && row.pieces.length > 0 ? (
        <p className="text-xs text-muted-foreground">{formatInteger(numHidden)} more tokens are not shown.</p>
      ) : null}
    </section>
  );
}
