/** Requests of Discover: models of the hub, and their way here. */
import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { backend, unwrap } from "@/lib/api/client";
import { fetchAll, type Page } from "@/lib/api/pagination";
import { keys } from "@/lib/api/query-keys";
import { type Download } from "./lib/download-state";
import { type HubQuery } from "./lib/search-params";

/** The hub changes slowly, and each question goes out to it. */
const HUB_STALE_MS = 60_000;

export const hubSearch = (query: HubQuery) =>
  queryOptions({
    queryKey: keys.discover.search(query),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/discover/search", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: HUB_STALE_MS,
  });

const pathOf = (repoId: string) => {
  const [owner = "", name = ""] = repoId.split("/");
  return { owner, name };
};

export const hubModel = (repoId: string) =>
  queryOptions({
    queryKey: keys.discover.detail(repoId),
    queryFn: ({ signal }) =>
      unwrap(backend().GET("/api/v1/discover/models/{owner}/{name}", { params: { path: pathOf(repoId) }, signal })),
    staleTime: HUB_STALE_MS,
  });

export const hubCard = (repoId: string) =>
  queryOptions({
    queryKey: [...keys.discover.detail(repoId), "card"],
    queryFn: ({ signal }) =>
      unwrap(backend().GET("/api/v1/discover/models/{owner}/{name}/card", { params: { path: pathOf(repoId) }, signal })),
    staleTime: HUB_STALE_MS,
  });

export const systemState = queryOptions({
  queryKey: keys.system.state,
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/system", { signal })),
});

export const cacheUsage = queryOptions({
  queryKey: keys.downloads.usage,
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/downloads/usage", { signal })),
});

/** All of them, the newest first; the event stream keeps their progress fresh. */
export const allDownloads = queryOptions({
  queryKey: keys.downloads.list({ all: true }),
  queryFn: async ({ signal }): Promise<Page<Download>> => {
    const items = await fetchAll((page) =>
      unwrap(backend().GET("/api/v1/downloads", { params: { query: { page, page_size: 100 } }, signal })),
    );
    return { items, total: items.length, page: 1, page_size: Math.max(items.length, 1) };
  },
});

type Verb = "pause" | "resume";

/** What one does with downloads. The answer is shown at once, before the event stream tells it. */
export function useDownloadActions() {
  const client = useQueryClient();
  const show = (download: Download) => {
    client.setQueryData(allDownloads.queryKey, (known) => {
      if (!known) return known;
      const others = known.items.filter((item) => item.id !== download.id);
      const isNew = others.length === known.items.length;
      const items = isNew ? [download, ...others] : known.items.map((item) => (item.id === download.id ? download : item));
      return { ...known, items, total: items.length };
    });
    void client.invalidateQueries({ queryKey: keys.downloads.all });
  };
  const start = useMutation({
    mutationFn: (repoId: string) => unwrap(backend().POST("/api/v1/discover/download", { body: { repo_id: repoId } })),
    onSuccess: show,
  });
  const change = useMutation({
    mutationFn: ({ id, verb }: { id: string; verb: Verb }) =>
      unwrap(backend().POST(`/api/v1/downloads/{download_id}/${verb}`, { params: { path: { download_id: id } } })),
    onSuccess: show,
  });
  const cancel = useMutation({
    mutationFn: (id: string) =>
      unwrap(backend().POST("/api/v1/downloads/{download_id}/cancel", { params: { path: { download_id: id } } })),
    // The dialog that asks first shows why not.
    meta: { tellsErrors: true },
    onSuccess: show,
  });
  const setPinned = useMutation({
    mutationFn: ({ id, isPinned }: { id: string; isPinned: boolean }) => {
      const at = { params: { path: { download_id: id } } };
      const path = "/api/v1/downloads/{download_id}/pin";
      return unwrap(isPinned ? backend().PUT(path, at) : backend().DELETE(path, at));
    },
    onSuccess: show,
  });
  return { start, change, cancel, setPinned };
}
