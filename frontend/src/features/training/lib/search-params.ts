/** What the addresses of the training pages say. */
import { type Backend } from "@/lib/api/client";
import { readPage } from "@/lib/api/pagination";

type Params = Pick<URLSearchParams, "get">;
export type JobStatus = Backend<"TrainingJobPublic">["status"];

export const STATUS_FILTERS = ["all", "active", "completed", "failed", "cancelled"] as const;
export type StatusFilter = (typeof STATUS_FILTERS)[number];

export interface JobsFilter {
  status: StatusFilter;
  modelId: string | null;
  datasetId: string | null;
  page: number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const asId = (text: string | null): string | null => (text && UUID.test(text) ? text : null);

export function readJobsFilter(params: Params): JobsFilter {
  return {
    status: STATUS_FILTERS.find((status) => status === params.get("status")) ?? "all",
    modelId: asId(params.get("model")),
    datasetId: asId(params.get("dataset")),
    page: readPage(params),
  };
}

/** For the API; undefined lets all pass. */
export function statusesOf(filter: StatusFilter): JobStatus[] | undefined {
  if (filter === "all") return undefined;
  return filter === "active" ? ["queued", "running"] : [filter];
}

/** A chart has five colours. */
export const MAX_RUNS = 5;

/** `?runs=a,b,c`: each once. */
export function readRuns(params: Params): string[] {
  const ids = (params.get("runs") ?? "").split(",").filter((id) => asId(id));
  return [...new Set(ids)].slice(0, MAX_RUNS);
}

export const TABS = ["curves", "log", "samples", "settings", "checks"] as const;
export type Tab = (typeof TABS)[number];

export function readTab(params: Params): Tab {
  return TABS.find((tab) => tab === params.get("tab")) ?? "curves";
}

/** The chooser's row for `?model=` or `?dataset=`, by id or by name; null while they are loaded. */
export function findNamed<Row extends { id: string; name: string }>(
  rows: readonly Row[] | undefined,
  named: string | null,
): Row | null {
  return rows?.find(({ id, name }) => id === named || name === named) ?? null;
}
