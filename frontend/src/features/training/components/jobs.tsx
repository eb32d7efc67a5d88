"use client";

import { useQuery } from "@tanstack/react-query";
import { Dumbbell, GitCompare, Plus, SearchX } from "lucide-react";
import Link from "next/link";
import { useState } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLPage, useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { Pagination } from "@/components/ui/pagination";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { jobsList, PAGE_SIZE } from "../api";
import { MAX_RUNS, readJobsFilter } from "../lib/search-params";
import { JobsTable } from "./jobs-table";
import { JobsToolbar } from "./jobs-toolbar";

/** All jobs: what runs, what waits, and what came of the others. */
export function Jobs() {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const toggle = (id: string) =>
    setChosen((ids) => (ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id].slice(-MAX_RUNS)));
  return (
    <Page>
      <PageHeader
        title="Training"
        description="Fine-tuning jobs: what runs, what waits, and what came of the others."
        actions={
          <>
            <Button asChild variant="outline">
              <Link href={chosen.length ? `/training/compare?runs=${chosen.join(",")}` : "/training/compare"}>
                <GitCompare aria-hidden />
                {chosen.length ? `Compare ${chosen.length} of ${MAX_RUNS}` : "Compare runs"}
              </Link>
            </Button>
            <Button asChild>
              <Link href="/training/new">
                <Plus aria-hidden />
                New job
              </Link>
            </Button>
          </>
        }
      />
      <JobList chosen={chosen} onToggle={toggle} />
    </Page>
  );
}

function JobList({ chosen, onToggle }: { chosen: readonly string[]; onToggle: (id: string) => void }) {
  const { params, change } = useURLParams();
  const { setPage } = useURLPage();
  const filter = readJobsFilter(params);
  const { data, error, refetch, isFetching } = useQuery({ ...jobsList(filter), refetchInterval: useFallbackInterval() });
  const isFiltered = filter.status !== "all" || filter.modelId !== null || filter.datasetId !== null;
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the jobs" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the jobs" />
    );
  }
  if (data.total === 0 && !isFiltered) return <NoJobs />;
  return (
    <>
      <JobsToolbar filter={filter} onChange={(changes) => change({ page: null, ...changes })} />
      {data.items.length ? (
        <JobsTable jobs={data.items} chosen={chosen} onToggle={onToggle} />
      ) : (
        <EmptyState
          icon={SearchX}
          title="No job matches"
          description="No job is in this state, on this model and dataset."
          action={
            <Button variant="outline" onClick={() => change({ status: null, model: null, dataset: null, page: null })}>
              Show all jobs
            </Button>
          }
        />
      )}
      <Pagination page={data.page} pageSize={PAGE_SIZE} total={data.total} noun="jobs" onPageChange={setPage} />
    </>
  );
}

function NoJobs() {
  return (
    <EmptyState
      icon={Dumbbell}
      title="No training jobs yet"
      description="Teach a model with your own examples: choose a model and a dataset, see what it takes, start."
      action={
        <Button asChild>
          <Link href="/training/new">
            <Plus aria-hidden />
            Train an adapter
          </Link>
        </Button>
      }
      link={
        <Button asChild variant="link">
          <Link href="/datasets">Prepare a dataset</Link>
        </Button>
      }
    />
  );
}
