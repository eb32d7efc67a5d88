/** The registry joined with what the inference server serves of it and what lies in the model cache. */
import type { Backend, Inference } from "@/lib/api/client";

export type Model = Backend<"RegisteredModelPublic">;
export type Version = Backend<"ModelVersionPublic">;
export type Download = Backend<"DownloadPublic">;
export type Served = Inference<"AdminModel">;

export interface ServedName {
  name: string;
  served: Served;
}

/** `absent`: it is in the registry, and there is nothing to load. */
export type State = "loaded" | "loading" | "unloaded" | "absent" | "unknown";

export interface ModelRow {
  model: Model;
  servedNames: ServedName[];
  state: State;
  isPinned: boolean;
  quantization: string | null;
  /** Of the weights, or of the newest version of an adapter. */
  numBytes: number | null;
  lastUsedAt: string | null;
}

export interface Surroundings {
  /** Undefined while the inference server has not answered. */
  served: Record<string, Served> | undefined;
  downloads: readonly Download[];
  /** Bytes of the newest version, by the model's id. */
  adapterBytes?: ReadonlyMap<string, number | null>;
}

export function toRow(model: Model, { served, downloads, adapterBytes }: Surroundings): ModelRow {
  const servedNames = namesOf(model, served ?? {});
  const download = model.type === "base" ? downloadOf(model, downloads) : undefined;
  const first = servedNames[0]?.served;
  return {
    model,
    servedNames,
    state: served === undefined ? "unknown" : stateOf(servedNames),
    isPinned: servedNames.some((each) => each.served.pinned),
    quantization: first?.quantization ?? quantizationOf(download),
    numBytes: (model.type === "adapter" ? adapterBytes?.get(model.id) : bytesOf(download, first)) ?? null,
    lastUsedAt: newest([download?.last_used_at, ...servedNames.map((each) => each.served.last_used_at)]),
  };
}

function bytesOf(download: Download | undefined, served: Served | undefined): number | null | undefined {
  return download?.num_bytes_total ?? served?.weight_bytes;
}

/** The names under which the inference server answers with the model: of a base the one of its weights, of an adapter its aliases. */
export function namesOf(model: Model, served: Record<string, Served>): ServedName[] {
  const isOne = ([name, each]: [string, Served]) =>
    model.type === "adapter" ? each.model_id === model.id : each.type === "base" && name === model.base_model;
  return Object.entries(served)
    .filter(isOne)
    .map(([name, each]) => ({ name, served: each }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** What to chat with: the name that people have promoted goes before the one that always moves. */
export function preferredName(names: readonly ServedName[]): string | null {
  const found = ["champion", "latest"].map((alias) => names.find(({ name }) => name.endsWith(`@${alias}`)));
  return (found.find(Boolean) ?? names[0])?.name ?? null;
}

export function downloadOf(model: Model, downloads: readonly Download[]): Download | undefined {
  const ofWeights = downloads.filter((download) => download.model_id === model.id || download.repo_id === model.base_model);
  return ofWeights.find((download) => download.status === "ready");
}

function stateOf(names: readonly ServedName[]): State {
  if (names.length === 0) return "absent";
  const states = names.map((each) => each.served.state);
  return states.includes("loaded") ? "loaded" : states.includes("loading") ? "loading" : "unloaded";
}

function quantizationOf(download: Download | undefined): string | null {
  const found = download?.details.quantization;
  return typeof found === "string" ? found : null;
}

function newest(moments: readonly (string | null | undefined)[]): string | null {
  const known = moments.filter((moment): moment is string => Boolean(moment));
  return known.sort((a, b) => Date.parse(b) - Date.parse(a))[0] ?? null;
}

export const SORT_COLUMNS = ["name", "size", "added", "used", "state"] as const;
export type SortColumn = (typeof SORT_COLUMNS)[number];

const STATE_ORDER: Record<State, number> = { absent: 0, unknown: 1, unloaded: 2, loading: 3, loaded: 4 };

const VALUES: Record<SortColumn, (row: ModelRow) => number | string | null> = {
  name: (row) => row.model.name.toLowerCase(),
  size: (row) => row.numBytes,
  added: (row) => Date.parse(row.model.created_at),
  used: (row) => (row.lastUsedAt ? Date.parse(row.lastUsedAt) : null),
  state: (row) => STATE_ORDER[row.state],
};

/** What is unknown comes last, whichever way. */
export function sortRows(rows: readonly ModelRow[], column: SortColumn, direction: "asc" | "desc"): ModelRow[] {
  const sign = direction === "asc" ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [first, second] = [VALUES[column](a), VALUES[column](b)];
    if (first === null || second === null) return Number(first === null) - Number(second === null);
    if (typeof first === "string" || typeof second === "string") return sign * String(first).localeCompare(String(second));
    return sign * (first - second);
  });
}
