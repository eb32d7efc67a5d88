"use client";

import { useQuery } from "@tanstack/react-query";
import { CopyCheck, CopyX } from "lucide-react";
import { useRouter } from "next/navigation";
import { type Column, DataTable } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { FormAlert } from "@/components/app/form-alert";
import { LoadingState } from "@/components/app/loading-state";
import { toastSuccess } from "@/components/app/toasts";
import { useURLPage, useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { Pagination } from "@/components/ui/pagination";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { describeError } from "@/lib/api/errors";
import { type Backend } from "@/lib/api/client";
import { formatCount, formatInteger } from "@/lib/format/numbers";
import { type Dataset, datasetDuplicates, type Match } from "../api";
import { useDeduplicate } from "../mutations";

type Group = Backend<"DuplicateGroupPublic">;

const MATCHES = [
  { value: "exact", label: "Exact" },
  { value: "normalised", label: "Same words" },
] as const;

const SHOWN_LINES = 8;

const COLUMNS: readonly Column<Group>[] = [
  { id: "rows", header: "Rows", align: "right", cell: ({ num_rows }) => formatInteger(num_rows), className: "w-16" },
  { id: "lines", header: "Lines", cell: (group) => <span className="tabular-nums">{linesOf(group)}</span> },
  { id: "start", header: "How they begin", cell: ({ start }) => <span className="line-clamp-2 break-words">{start}</span> },
];

/** Rows that say the same, and a dataset without the repeats. */
export function DuplicatesTab({ dataset }: { dataset: Dataset }) {
  const { params, change } = useURLParams();
  const match: Match = params.get("match") === "normalised" ? "normalised" : "exact";
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <div className="flex flex-wrap items-center gap-3">
        <ToggleGroup
          aria-label="What counts as the same"
          options={MATCHES}
          value={match}
          onValueChange={(value) => change({ match: value === "exact" ? null : value, page: null }, { replaces: true })}
        />
        <p className="text-xs text-muted-foreground">
          {match === "exact" ? "The same content, however its JSON is written." : "Case, spaces and punctuation do not count."}
        </p>
      </div>
      <Groups dataset={dataset} match={match} />
    </div>
  );
}

function Groups({ dataset, match }: { dataset: Dataset; match: Match }) {
  const { page, setPage } = useURLPage();
  const { data, error, refetch, isFetching } = useQuery(datasetDuplicates(dataset.id, match, page));
  if (error) return <ErrorState error={error} what="the duplicates" onRetry={() => void refetch()} retrying={isFetching} />;
  if (!data) return <LoadingState what="the duplicates" />;
  if (data.num_duplicates === 0) {
    return <EmptyState icon={CopyCheck} title="No duplicates" description="Every row says something of its own." />;
  }
  return (
    <>
      <Deduplicate key={match} dataset={dataset} match={match} numDuplicates={data.num_duplicates} />
      <DataTable label="Duplicates" columns={COLUMNS} rows={data.items} rowKey={({ lines }) => String(lines[0])} />
      {data.num_groups > data.total ? (
        <p className="text-xs text-muted-foreground">
          The first {formatInteger(data.total)} of {formatInteger(data.num_groups)} groups are listed.
        </p>
      ) : null}
      <Pagination page={page} pageSize={data.page_size} total={data.total} noun="groups" onPageChange={setPage} />
    </>
  );
}

interface DeduplicateProps {
  dataset: Dataset;
  match: Match;
  numDuplicates: number;
}

function Deduplicate({ dataset, match, numDuplicates }: DeduplicateProps) {
  const router = useRouter();
  const deduplicate = useDeduplicate(dataset.id);
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="text-sm">
          {formatCount(numDuplicates, "row repeats", "rows repeat")} an earlier one. The first of each group stays.
        </p>
        <Button
          variant="outline"
          pending={deduplicate.isPending}
          onClick={() =>
            deduplicate.mutate(
              { match },
              {
                onSuccess(made) {
                  toastSuccess(`${made.name} is made`, { description: `${formatCount(made.num_rows, "row")} without repeats` });
                  router.push(`/datasets/${made.id}`);
                },
              },
            )
          }
        >
          {deduplicate.isPending ? null : <CopyX aria-hidden />}
          Make a dataset without them
        </Button>
      </div>
      <FormAlert message={deduplicate.error ? describeError(deduplicate.error).message : null} />
    </div>
  );
}

function linesOf({ lines, num_rows }: Group): string {
  const shown = lines.slice(0, SHOWN_LINES).map(formatInteger).join(", ");
  return num_rows > SHOWN_LINES ? `${shown}, …` : shown;
}
