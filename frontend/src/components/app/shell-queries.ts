/** What the shell shows on every page. Health and served models are polled; the event stream keeps the rest fresh. */
import { queryOptions } from "@tanstack/react-query";
import { backend, inference, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

const HEALTH_MS = 10_000;
/** A service that is down is asked more often, so that the page recovers soon after it. */
const DOWN_MS = 4_000;
const MAX_SHOWN = 20;

export const backendHealth = queryOptions({
  queryKey: keys.health.backend,
  queryFn: ({ signal }) => unwrap(backend().GET("/health", { signal })),
  refetchInterval: (query) => (query.state.status === "error" ? DOWN_MS : HEALTH_MS),
  retry: false,
});

export const inferenceHealth = queryOptions({
  queryKey: keys.health.inference,
  queryFn: ({ signal }) => unwrap(inference().GET("/health", { signal })),
  refetchInterval: (query) => (query.state.status === "error" ? DOWN_MS : HEALTH_MS),
  retry: false,
});

export const servedModels = queryOptions({
  queryKey: keys.served.admin,
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/models", { signal })),
  refetchInterval: HEALTH_MS,
  retry: false,
});

const WAITING_OR_RUNNING = ["queued", "running"] as const;
const UNFINISHED = ["queued", "running", "paused"] as const;

export const activeJobs = queryOptions({
  queryKey: keys.training.list({ status: WAITING_OR_RUNNING, page_size: MAX_SHOWN }),
  queryFn: ({ signal }) =>
    unwrap(
      backend().GET("/api/v1/training", {
        params: { query: { status: [...WAITING_OR_RUNNING], page_size: MAX_SHOWN } },
        signal,
      }),
    ),
});

export const activeDownloads = queryOptions({
  queryKey: keys.downloads.list({ status: UNFINISHED, page_size: MAX_SHOWN }),
  queryFn: ({ signal }) =>
    unwrap(
      backend().GET("/api/v1/downloads", {
        params: { query: { status: [...UNFINISHED], page_size: MAX_SHOWN } },
        signal,
      }),
    ),
});

export const activeTasks = queryOptions({
  queryKey: keys.tasks.list({ status: WAITING_OR_RUNNING, page_size: MAX_SHOWN }),
  queryFn: ({ signal }) =>
    unwrap(
      backend().GET("/api/v1/tasks", {
        params: { query: { status: [...WAITING_OR_RUNNING], page_size: MAX_SHOWN } },
        signal,
      }),
    ),
});
