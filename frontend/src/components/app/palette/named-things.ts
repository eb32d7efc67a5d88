"use client";

import { useQuery } from "@tanstack/react-query";
import { backend, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";
import { type Named } from "./actions";

const query = { page_size: 100 };
const options = { staleTime: 30_000, retry: false };

/** The newest models, datasets and jobs; empty while the backend does not answer, since the palette works without. */
export function useNamedThings(): { models: Named[]; datasets: Named[]; jobs: Named[] } {
  const models = useQuery({
    ...options,
    queryKey: keys.models.list(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/models", { params: { query }, signal })),
  });
  const datasets = useQuery({
    ...options,
    queryKey: keys.datasets.list(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/datasets", { params: { query }, signal })),
  });
  const jobs = useQuery({
    ...options,
    queryKey: keys.training.list(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/training", { params: { query }, signal })),
  });
  return {
    models: models.data?.items ?? [],
    datasets: datasets.data?.items ?? [],
    jobs: jobs.data?.items ?? [],
  };
}
