/** What one does with datasets. Each change makes another dataset; forms show their own errors in place. */
import { type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { backend, type Backend, unwrap } from "@/lib/api/client";
import { type Page } from "@/lib/api/pagination";
import { keys } from "@/lib/api/query-keys";
import { type Dataset } from "./api";

const IN_PLACE = { tellsErrors: true };

const at = (id: string) => ({ path: { dataset_id: id } });

function useChange<Body, Data>(mutationFn: (body: Body) => Promise<Data>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    meta: IN_PLACE,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.datasets.lists }),
  });
}

export function useEditRows(id: string) {
  const client = useQueryClient();
  return useChange(async (body: Backend<"DatasetEdits">) => {
    const made = await unwrap(backend().POST("/api/v1/datasets/{dataset_id}/edits", { params: at(id), body }));
    if (body.replaces_original) forget(client, id);
    return made;
  });
}

export function useDeduplicate(id: string) {
  return useChange((body: Backend<"DatasetDeduplicate">) =>
    unwrap(backend().POST("/api/v1/datasets/{dataset_id}/deduplicate", { params: at(id), body })),
  );
}

export function useConvert(id: string) {
  return useChange((body: Backend<"DatasetConvert">) =>
    unwrap(backend().POST("/api/v1/datasets/{dataset_id}/convert", { params: at(id), body })),
  );
}

export function useSplit(id: string) {
  return useChange((body: Backend<"DatasetSplitCreate">) =>
    unwrap(backend().POST("/api/v1/datasets/{dataset_id}/split", { params: at(id), body })),
  );
}

export function useDeleteDataset(id: string) {
  const client = useQueryClient();
  return useChange(async () => {
    await unwrap(backend().DELETE("/api/v1/datasets/{dataset_id}", { params: at(id) }));
    forget(client, id);
  });
}

/** Takes it from the lists at once: one that is shown before it is read anew would ask for the use of what is gone. */
function forget(client: QueryClient, id: string): void {
  client.setQueriesData<Page<Dataset>>({ queryKey: keys.datasets.lists }, (page) =>
    page?.items.some((item) => item.id === id)
      ? { ...page, items: page.items.filter((item) => item.id !== id), total: page.total - 1 }
      : page,
  );
}

/** Reads the whole file on the server's disk. */
export function useVerify(id: string) {
  return useMutation({
    mutationFn: () => unwrap(backend().POST("/api/v1/datasets/{dataset_id}/verify", { params: at(id) })),
  });
}
