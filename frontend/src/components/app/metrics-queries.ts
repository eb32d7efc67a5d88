/** The last fifteen minutes of both services, sample by sample: asked for once, then only for what is new. */
import { queryOptions } from "@tanstack/react-query";
import { backend, inference, unwrap, type Backend, type Inference } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";
import { mergeHistory } from "@/lib/metrics/history";

export type ServingMetrics = Inference<"SystemMetricsBody">;
export type HubMetrics = Backend<"SystemMetricsPublic">;

/** While a page of figures is in sight; a hidden tab asks for nothing. */
export const LIVE_MS = 2_000;
/** Where figures stand beside other things. */
export const CALM_MS = 10_000;

/** Columns are new arrays each time: comparing them value by value would find nothing equal. */
const SHARED = { structuralSharing: false, staleTime: LIVE_MS, retry: false } as const;

export const servingMetrics = queryOptions({
  ...SHARED,
  queryKey: keys.served.metrics(),
  queryFn: async ({ client, queryKey, signal }): Promise<ServingMetrics> => {
    const known = client.getQueryData<ServingMetrics>(queryKey);
    const query = { since: known?.times.at(-1) };
    return mergeHistory(known, await unwrap(inference().GET("/admin/system/metrics", { params: { query }, signal })));
  },
});

export const hubMetrics = queryOptions({
  ...SHARED,
  queryKey: keys.system.metrics(),
  queryFn: async ({ client, queryKey, signal }): Promise<HubMetrics> => {
    const known = client.getQueryData<HubMetrics>(queryKey);
    const query = { since: known?.times.at(-1) };
    return mergeHistory(known, await unwrap(backend().GET("/api/v1/system/metrics", { params: { query }, signal })));
  },
});
