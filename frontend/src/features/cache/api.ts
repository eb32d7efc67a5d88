/** Requests of the prompt cache. The inference server tells nothing by itself, so what is shown is asked for again. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { inference, unwrap, type Inference } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

export type CacheEntry = Inference<"CachedPrompt">;
export type CacheStats = Inference<"CacheStatsBody">;
export type LostTokens = Inference<"LostTokensBody">;

const REFRESH_MS = 5_000;

export const cacheEntries = queryOptions({
  queryKey: keys.cache.entries,
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/cache/prompts", { signal })),
  refetchInterval: REFRESH_MS,
});

export const cacheStats = queryOptions({
  queryKey: keys.cache.stats,
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/cache/prompts/stats", { signal })),
  refetchInterval: REFRESH_MS,
});

export const cacheMisses = queryOptions({
  queryKey: [...keys.cache.all, "misses"],
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/cache/prompts/misses", { signal })),
  refetchInterval: REFRESH_MS,
});

/** What one does with the cache. The dialogs that ask first show why not. */
export function useCacheActions() {
  const client = useQueryClient();
  const shared = {
    meta: { tellsErrors: true },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.cache.all }),
  };
  const warmUp = useMutation({
    ...shared,
    mutationFn: (body: Inference<"WarmupBody">) => unwrap(inference().POST("/admin/cache/prompts/warmup", { body })),
  });
  const remove = useMutation({
    ...shared,
    mutationFn: (key: string) =>
      unwrap(inference().DELETE("/admin/cache/prompts/{cache_key}", { params: { path: { cache_key: key } } })),
  });
  const clear = useMutation({
    ...shared,
    mutationFn: () => unwrap(inference().POST("/admin/cache/prompts/clear")),
  });
  return { warmUp, remove, clear };
}
