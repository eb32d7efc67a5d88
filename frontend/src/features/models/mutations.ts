/** What one does with models. Dialogs show their own errors in place; what is not said there comes as a toast. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { backend, type Backend, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

const IN_PLACE = { tellsErrors: true };

export function useRegisterModel() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Backend<"RegisteredModelCreate">) => unwrap(backend().POST("/api/v1/models", { body })),
    meta: IN_PLACE,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.models.all }),
  });
}

export function useUpdateModel(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Backend<"RegisteredModelUpdate">) =>
      unwrap(backend().PATCH("/api/v1/models/{model_id}", { params: { path: { model_id: id } }, body })),
    meta: IN_PLACE,
    onSuccess: (model) => {
      client.setQueryData(keys.models.detail(id), model);
      void client.invalidateQueries({ queryKey: keys.models.all });
    },
  });
}

export function useDeleteModel(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(backend().DELETE("/api/v1/models/{model_id}", { params: { path: { model_id: id } } })),
    meta: IN_PLACE,
    onSuccess: () => {
      // Its own page is still open, and would ask for what is gone.
      void client.invalidateQueries({ queryKey: keys.models.lists });
      for (const queryKey of [keys.served.all, keys.downloads.all]) void client.invalidateQueries({ queryKey });
    },
  });
}

/** Promote, and roll back: the alias points to `version` from now on. */
export function useMoveAlias(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ alias, version }: { alias: string; version: number }) =>
      unwrap(
        backend().PUT("/api/v1/models/{model_id}/aliases/{alias}", {
          params: { path: { model_id: id, alias } },
          body: { version },
        }),
      ),
    meta: IN_PLACE,
    onSuccess: () => refreshModel(client, id),
  });
}

export function useDeleteAlias(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (alias: string) =>
      unwrap(backend().DELETE("/api/v1/models/{model_id}/aliases/{alias}", { params: { path: { model_id: id, alias } } })),
    meta: IN_PLACE,
    onSuccess: () => refreshModel(client, id),
  });
}

function refreshModel(client: ReturnType<typeof useQueryClient>, id: string): void {
  void client.invalidateQueries({ queryKey: keys.models.detail(id) });
  void client.invalidateQueries({ queryKey: keys.models.lists });
  void client.invalidateQueries({ queryKey: keys.served.all });
}

export function useExportModel(id: string) {
  return useTaskStart((body: Backend<"ExportCreate">) =>
    unwrap(backend().POST("/api/v1/models/{model_id}/export", { params: { path: { model_id: id } }, body })),
  );
}

export function useQuantiseModel(id: string) {
  return useTaskStart((body: Backend<"QuantiseCreate">) =>
    unwrap(backend().POST("/api/v1/models/{model_id}/quantise", { params: { path: { model_id: id } }, body })),
  );
}

export function useImportModel() {
  return useTaskStart((body: Backend<"ImportCreate">) => unwrap(backend().POST("/api/v1/models/import", { body })));
}

function useTaskStart<Body>(mutationFn: (body: Body) => Promise<Backend<"TaskPublic">>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    meta: IN_PLACE,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tasks.all }),
  });
}

export function useCancelTask() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => unwrap(backend().POST("/api/v1/tasks/{task_id}/cancel", { params: { path: { task_id: id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tasks.all }),
  });
}
