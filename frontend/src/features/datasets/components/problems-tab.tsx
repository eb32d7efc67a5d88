"use client";

import { useQuery } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { type Column, DataTable } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { useURLPage } from "@/components/app/url-params";
import { Badge } from "@/components/ui/badge";
import { Pagination } from "@/components/ui/pagination";
import { formatInteger } from "@/lib/format/numbers";
import { type Dataset, datasetProblems, type Problem } from "../api";
import { countProblems, problemName, USABLE_PROBLEMS } from "../lib/labels";

const COLUMNS: readonly Column<Problem>[] = [
  { id: "line", header: "Line", align: "right", cell: ({ line }) => formatInteger(line), className: "w-16" },
  { id: "code", header: "Problem", cell: ({ code }) => <ProblemBadge code={code} /> },
  { id: "message", header: "What to look at", cell: ({ message }) => <span className="break-words">{message}</span> },
];

/** Lines that cannot be used, or deserve a look. */
export function ProblemsTab({ dataset }: { dataset: Dataset }) {
  const { page, setPage } = useURLPage();
  const { data, error, refetch, isFetching } = useQuery(datasetProblems(dataset.id, page));
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the problems" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the problems" />
    );
  }
  if (data.total === 0) {
    return (
      <EmptyState icon={CircleCheck} title="No problems" description="Every row can be trained on, and none repeats another." />
    );
  }
  const numAll = countProblems(dataset);
  return (
    <div className="flex min-w-0 flex-col gap-3">
      <ul aria-label="Problems by kind" className="flex flex-wrap gap-2">
        {Object.entries(dataset.report.problem_counts ?? {}).map(([code, count]) => (
          <li key={code}>
            <ProblemBadge code={code} count={count} />
          </li>
        ))}
      </ul>
      <DataTable label="Problems" columns={COLUMNS} rows={data.items} rowKey={({ line, code }) => `${line} ${code}`} />
      {numAll > data.total ? (
        <p className="text-xs text-muted-foreground">
          The first {formatInteger(data.total)} of {formatInteger(numAll)} are listed.
        </p>
      ) : null}
      <Pagination page={page} pageSize={data.page_size} total={data.total} noun="problems" onPageChange={setPage} />
    </div>
  );
}

function ProblemBadge({ code, count }: { code: string; count?: number }) {
  const isUsable = USABLE_PROBLEMS.has(code);
  return (
    <Badge variant={isUsable ? "warning" : "destructive"}>
      {count === undefined ? null : `${formatInteger(count)} × `}
      {problemName(code)}
      {isUsable ? null : <span className="font-normal">(not used)</span>}
    </Badge>
  );
}
