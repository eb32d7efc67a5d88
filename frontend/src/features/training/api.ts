/** Reading jobs, their curves and logs, and what a job can be made of. Changes are in `mutations.ts`. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { type Backend, backend, unwrap } from "@/lib/api/client";
import { fetchAll } from "@/lib/api/pagination";
import { keys } from "@/lib/api/query-keys";
import { type JobsFilter, statusesOf } from "./lib/search-params";

export const PAGE_SIZE = 25;
/** The most that the API gives of one curve; the stream adds to them. */
const MAX_POINTS = 5_000;
const LOG_LINES = 2_000;
const LOG_MS = 2_000;

const at = (id: string) => ({ path: { job_id: id } });

export function jobsList({ status, modelId, datasetId, page }: JobsFilter) {
  const query = {
    status: statusesOf(status),
    model_id: modelId ?? undefined,
    dataset_id: datasetId ?? undefined,
    page,
    page_size: PAGE_SIZE,
  };
  return queryOptions({
    queryKey: keys.training.list(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/training", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });
}

/** The newest hundred, for choosing among them. */
export const recentJobs = queryOptions({
  queryKey: keys.training.list({ page_size: 100 }),
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/training", { params: { query: { page_size: 100 } }, signal })),
});

/** What has been trained on the model before, the newest first; its pace tells how long another job takes. */
export function finishedOn(modelId: string) {
  const query = { model_id: modelId, status: ["completed" as const], page_size: 1 };
  return queryOptions({
    queryKey: keys.training.list(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/training", { params: { query }, signal })),
  });
}

export const jobDetail = (id: string) =>
  queryOptions({
    queryKey: keys.training.detail(id),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/training/{job_id}", { params: at(id), signal })),
  });

export const jobMetrics = (id: string) =>
  queryOptions({
    queryKey: keys.training.metrics(id),
    queryFn: ({ signal }) =>
      unwrap(
        backend().GET("/api/v1/training/{job_id}/metrics", {
          params: { ...at(id), query: { max_points: MAX_POINTS } },
          signal,
        }),
      ),
  });

/** Lines do not come with the stream: asked for while somebody reads them. */
export const jobLog = (id: string, isRunning: boolean) =>
  queryOptions({
    queryKey: keys.training.logs(id),
    queryFn: ({ signal }) =>
      unwrap(backend().GET("/api/v1/training/{job_id}/logs", { params: { ...at(id), query: { lines: LOG_LINES } }, signal })),
    refetchInterval: isRunning ? LOG_MS : false,
  });

export const adapterVersion = (adapterId: string, version: number) =>
  queryOptions({
    queryKey: [...keys.models.versions(adapterId), version],
    queryFn: ({ signal }) =>
      unwrap(
        backend().GET("/api/v1/models/{model_id}/versions/{version}", {
          params: { path: { model_id: adapterId, version } },
          signal,
        }),
      ),
  });

export const baseModels = queryOptions({
  queryKey: keys.models.list({ chooser: "base" }),
  queryFn: async ({ signal }) => {
    const query = { type: "base" as const, page_size: 100 };
    const items = await fetchAll((page) =>
      unwrap(backend().GET("/api/v1/models", { params: { query: { ...query, page } }, signal })),
    );
    return { items, total: items.length, page: 1, page_size: Math.max(items.length, 1) };
  },
});

export const allDatasets = queryOptions({
  queryKey: keys.datasets.list({ chooser: true }),
  queryFn: async ({ signal }) => {
    const items = await fetchAll((page) =>
      unwrap(backend().GET("/api/v1/datasets", { params: { query: { page, page_size: 100 } }, signal })),
    );
    return { items, total: items.length, page: 1, page_size: Math.max(items.length, 1) };
  },
});

/** What a job would do; null asks nothing. Datasets never change, so an answer stays true. */
export const preflight = (body: Backend<"TrainingCreate"> | null) =>
  queryOptions({
    queryKey: [...keys.training.all, "preflight", body],
    queryFn: ({ signal }) =>
      unwrap(backend().POST("/api/v1/training/preflight", { body: body as Backend<"TrainingCreate">, signal })),
    enabled: body !== null,
    staleTime: 300_000,
    retry: false,
  });
