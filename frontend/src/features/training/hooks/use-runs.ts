"use client";

import { useQueries } from "@tanstack/react-query";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { jobDetail, jobMetrics } from "../api";
import { type Run } from "../lib/compare";

/** The jobs with their curves, live. `failed` are those that could not be read, such as deleted ones. */
export function useRuns(ids: readonly string[]) {
  const refetchInterval = useFallbackInterval();
  const jobs = useQueries({ queries: ids.map((id) => ({ ...jobDetail(id), refetchInterval })) });
  const metrics = useQueries({ queries: ids.map((id) => ({ ...jobMetrics(id), refetchInterval })) });
  const runs: Run[] = [];
  jobs.forEach(({ data }, index) => {
    if (data) runs.push({ job: data, curves: metrics[index]?.data?.series });
  });
  const failed = jobs.flatMap(({ data, error }, index) => (!data && error ? [{ id: ids[index] as string, error }] : []));
  const retry = () => void Promise.all([...jobs, ...metrics].map((query) => query.refetch()));
  return { runs, failed, retry, isPending: jobs.some(({ isPending }) => isPending) };
}
