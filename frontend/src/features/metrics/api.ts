/** Requests of the metrics page that no other page makes. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { LIVE_MS } from "@/components/app/metrics-queries";
import { backend, inference, unwrap, type Inference } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

export type RunningRequest = Inference<"RunningRequestBody">;

export const runningRequests = queryOptions({
  queryKey: [...keys.served.all, "requests"],
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/requests", { signal })),
  refetchInterval: LIVE_MS,
  retry: false,
});

/** Whether MLflow has a page of its own, and where. */
export const systemState = queryOptions({
  queryKey: keys.system.state,
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/system", { signal })),
});

export function useCancelRequest() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(inference().POST("/v1/requests/{request_id}/cancel", { params: { path: { request_id: id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: runningRequests.queryKey }),
  });
}
