/** Writes what the event stream tells into the query cache, so that pages show it without asking again. */
import { notifyManager, type QueryClient, type QueryKey } from "@tanstack/react-query";
import type { Backend } from "@/lib/api/client";
import type { Page } from "@/lib/api/pagination";
import { keys } from "@/lib/api/query-keys";
import { isDeleted, type HubEvent } from "@/lib/events/hub-event";
import { appendPoints } from "@/lib/events/metric-series";

interface Row {
  id: string;
}

interface RowKeys {
  all: QueryKey;
  lists: QueryKey;
  detail: (id: string) => QueryKey;
}

/** What must be fetched anew because a row came, went, or changed its state. */
type Stale = Map<string, QueryKey>;

/** In the order in which they happened. One notification of components for all of them. */
export function applyEvents(client: QueryClient, events: readonly HubEvent[]): void {
  const stale: Stale = new Map();
  notifyManager.batch(() => {
    for (const event of events) apply(client, event, stale);
    for (const queryKey of stale.values()) void client.invalidateQueries({ queryKey });
  });
}

/** After a gap nothing that is known can be trusted. What is being fetched now is new enough. */
export function refetchAll(client: QueryClient): void {
  void client.invalidateQueries({ predicate: (query) => LIVE.has(String(query.queryKey[0])) }, { cancelRefetch: false });
}

/** Discover and the inference server's own facts do not follow the stream. */
const LIVE = new Set(["models", "training", "downloads", "tasks", "datasets", "system"]);

function apply(client: QueryClient, event: HubEvent, stale: Stale): void {
  switch (event.kind) {
    case "metrics":
      client.setQueryData<Backend<"MetricsPublic">>(keys.training.metrics(event.subjectId), (known) =>
        known ? { ...known, series: appendPoints(known.series, event.payload.points) } : known,
      );
      return;
    case "system":
      client.setQueryData<Backend<"SystemPublic">>(keys.system.state, (known) =>
        known ? { ...known, host: event.payload } : known,
      );
      return;
    case "job":
      applyRow(client, keys.training, event.payload, stale);
      if (event.payload.status === "completed") markStale(stale, keys.models.all, keys.served.all);
      return;
    case "download":
      applyRow(client, keys.downloads, event.payload, stale);
      if (event.payload.status === "ready") markStale(stale, keys.models.all, keys.served.all, keys.downloads.usage);
      return;
    case "task":
      applyRow(client, keys.tasks, event.payload, stale);
      if (event.payload.status === "completed") markStale(stale, keys.models.all, keys.downloads.usage);
      return;
    case "dataset":
      applyRow(client, keys.datasets, event.payload, stale);
      return;
    case "model":
      applyRow(client, keys.models, event.payload, stale);
      // Versions and aliases are under the detail; what is served follows them.
      markStale(stale, keys.models.versions(event.subjectId), keys.models.aliases(event.subjectId), keys.served.all);
  }
}

/** Where the row is shown it changes in place; lists that do not have it, or had it, are fetched anew. */
function applyRow(client: QueryClient, rowKeys: RowKeys, row: Row, stale: Stale): void {
  if (isDeleted(row)) {
    client.removeQueries({ queryKey: rowKeys.detail(row.id), exact: true, type: "inactive" });
    markStale(stale, rowKeys.all);
    return;
  }
  client.setQueryData<object>(rowKeys.detail(row.id), (known) => (known ? { ...known, ...row } : known));
  for (const [queryKey, page] of client.getQueriesData<Page<Row>>({ queryKey: rowKeys.lists })) {
    if (!page) continue;
    const known = page.items.find((item) => item.id === row.id);
    if (!known || statusOf(known) !== statusOf(row)) stale.set(JSON.stringify(queryKey), queryKey);
    if (known)
      client.setQueryData<Page<Row>>(queryKey, {
        ...page,
        items: page.items.map((item) => (item === known ? { ...item, ...row } : item)),
      });
  }
}

/** Lists may be filtered by it. */
function statusOf(row: Row): unknown {
  return "status" in row ? row.status : undefined;
}

function markStale(stale: Stale, ...queryKeys: QueryKey[]): void {
  for (const queryKey of queryKeys) stale.set(JSON.stringify(queryKey), queryKey);
}
