/** Reading the registry, what is served of it, and what hangs on it. Changes are in `mutations.ts`. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { backend, inference, unwrap } from "@/lib/api/client";
import { fetchAll, type Page } from "@/lib/api/pagination";
import { keys } from "@/lib/api/query-keys";
import { type Download, type Model } from "./lib/model-rows";

export interface RegistryFilter {
  text: string;
  type: "base" | "adapter" | null;
}

/** All that match: the table sorts by what the registry does not know, such as the last use. */
export const registry = ({ text, type }: RegistryFilter) =>
  queryOptions({
    queryKey: keys.models.list({ all: true, text, type }),
    queryFn: async ({ signal }): Promise<Page<Model>> => {
      const query = { query: text || undefined, type: type ?? undefined, page_size: 100 };
      return asPage(
        await fetchAll((page) => unwrap(backend().GET("/api/v1/models", { params: { query: { ...query, page } }, signal }))),
      );
    },
    placeholderData: keepPreviousData,
  });

export const allDownloads = queryOptions({
  queryKey: keys.downloads.list({ all: true }),
  queryFn: async ({ signal }): Promise<Page<Download>> =>
    asPage(
      await fetchAll((page) =>
        unwrap(backend().GET("/api/v1/downloads", { params: { query: { page, page_size: 100 } }, signal })),
      ),
    ),
});

/** The shape that the event stream writes to. */
function asPage<T>(items: T[]): Page<T> {
  return { items, total: items.length, page: 1, page_size: Math.max(items.length, 1) };
}

const at = (id: string) => ({ path: { model_id: id } });

export const modelDetail = (id: string) =>
  queryOptions({
    queryKey: keys.models.detail(id),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/models/{model_id}", { params: at(id), signal })),
  });

/** The newest hundred, the newest first. */
export const modelVersions = (id: string) =>
  queryOptions({
    queryKey: keys.models.versions(id),
    queryFn: ({ signal }) =>
      unwrap(backend().GET("/api/v1/models/{model_id}/versions", { params: { ...at(id), query: { page_size: 100 } }, signal })),
  });

export const modelAliases = (id: string) =>
  queryOptions({
    queryKey: keys.models.aliases(id),
    queryFn: ({ signal }) =>
      unwrap(backend().GET("/api/v1/models/{model_id}/aliases", { params: { ...at(id), query: { page_size: 100 } }, signal })),
  });

export const modelDependents = (id: string) =>
  queryOptions({
    queryKey: [...keys.models.detail(id), "dependents"],
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/models/{model_id}/dependents", { params: at(id), signal })),
  });

/** Exports, quantisations and imports, the newest hundred. */
export const recentTasks = queryOptions({
  queryKey: keys.tasks.list({ page_size: 100 }),
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/tasks", { params: { query: { page_size: 100 } }, signal })),
});

export const systemState = queryOptions({
  queryKey: keys.system.state,
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/system", { signal })),
});

export const memoryEstimate = (name: string, contextTokens: number) =>
  queryOptions({
    queryKey: [...keys.served.admin, "estimate", name, contextTokens],
    queryFn: ({ signal }) =>
      unwrap(
        inference().GET("/admin/models/{name}/estimate", {
          params: { path: { name }, query: { context_tokens: contextTokens } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });
