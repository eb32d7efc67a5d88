/** Requests of the dashboard that the shell does not make already. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { backend, inference, unwrap, type Backend, type Inference } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

export type HubModel = Backend<"HubModelPublic">;
export type ServedModel = Inference<"AdminModel">;

const HUB_STALE_MS = 60_000;
const CALM_MS = 10_000;

/** Its `host` follows the event stream. */
export const systemState = queryOptions({
  queryKey: keys.system.state,
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/system", { signal })),
});

const ONE = { page: 1, page_size: 1 };

/** Only its total is of interest. */
export const anyModel = queryOptions({
  queryKey: keys.models.list(ONE),
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/models", { params: { query: ONE }, signal })),
});

export const cacheStats = queryOptions({
  queryKey: keys.cache.stats,
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/cache/prompts/stats", { signal })),
  refetchInterval: CALM_MS,
  retry: false,
});

const FITTING = { query: "", mlx_only: true, fits: true, sort: "downloads", page: 1, page_size: 3 } as const;

/** What most people download of what this machine can run. */
export const popularThatFit = queryOptions({
  queryKey: keys.discover.search(FITTING),
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/discover/search", { params: { query: FITTING }, signal })),
  staleTime: HUB_STALE_MS,
  retry: false,
});

export function useDownload() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (repoId: string) => unwrap(backend().POST("/api/v1/discover/download", { body: { repo_id: repoId } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.downloads.all }),
  });
}
