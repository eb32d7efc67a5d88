/** Both pages' state as their addresses say it: `?q=facts&page=2`, `?tab=preview&model=…&limit=512`. */

type Params = Pick<URLSearchParams, "get">;

export const TABS = ["rows", "problems", "preview", "lengths", "duplicates", "shape"] as const;
export type Tab = (typeof TABS)[number];

export function readTab(params: Params): Tab {
  return TABS.find((tab) => tab === params.get("tab")) ?? "rows";
}

export function readText(params: Params): string {
  return (params.get("q") ?? "").trim().slice(0, 200);
}

/** How a training run would look at the rows. */
export interface ViewSettings {
  modelId: string | null;
  maxSeqLength: number;
  masksPrompt: boolean;
}

export const DEFAULT_LIMIT = 2048;
export const SMALLEST_LIMIT = 8;
export const LARGEST_LIMIT = 1_048_576;

export function isLimit(value: number): boolean {
  return Number.isInteger(value) && value >= SMALLEST_LIMIT && value <= LARGEST_LIMIT;
}

export function readViewSettings(params: Params): ViewSettings {
  const limit = Number(params.get("limit"));
  return {
    modelId: params.get("model"),
    maxSeqLength: isLimit(limit) ? limit : DEFAULT_LIMIT,
    masksPrompt: params.get("mask") !== "all",
  };
}

export function writeViewSettings(change: Partial<ViewSettings>): Record<string, string | null> {
  const written: Record<string, string | null> = {};
  if (change.modelId !== undefined) written.model = change.modelId;
  if (change.maxSeqLength !== undefined) {
    written.limit = change.maxSeqLength === DEFAULT_LIMIT ? null : String(change.maxSeqLength);
  }
  if (change.masksPrompt !== undefined) written.mask = change.masksPrompt ? null : "all";
  return written;
}
