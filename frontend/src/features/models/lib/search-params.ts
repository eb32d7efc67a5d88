/** The registry's table as its address says it: `?q=talk&type=adapter&sort=size&direction=desc`. */
import type { RegistryFilter } from "../api";
import { SORT_COLUMNS, type SortColumn } from "./model-rows";

type Params = Pick<URLSearchParams, "get">;

export function readRegistryFilter(params: Params): RegistryFilter {
  const type = params.get("type");
  return {
    text: (params.get("q") ?? "").trim().slice(0, 200),
    type: type === "base" || type === "adapter" ? type : null,
  };
}

export function writeRegistryFilter(change: Partial<RegistryFilter>): Record<string, string | null> {
  const written: Record<string, string | null> = {};
  if (change.text !== undefined) written.q = change.text.trim() || null;
  if (change.type !== undefined) written.type = change.type;
  return written;
}

/** The newest first, unless the address says otherwise. */
export function readSort(params: Params): { id: SortColumn; direction: "asc" | "desc" } {
  const id = SORT_COLUMNS.find((column) => column === params.get("sort")) ?? "added";
  return { id, direction: params.get("direction") === "asc" ? "asc" : "desc" };
}

/** Numbers of two versions, `?compare=3,1`; null for anything else. */
export function readCompared(params: Params): [number, number] | null {
  const numbers = (params.get("compare") ?? "").split(",").map(Number);
  const [first, second] = numbers;
  if (numbers.length !== 2 || first === second) return null;
  return numbers.every((number) => Number.isInteger(number) && number > 0) ? [first as number, second as number] : null;
}

/** The version whose details are open. */
export function readVersion(params: Params): number | null {
  const version = Number(params.get("version"));
  return Number.isInteger(version) && version > 0 ? version : null;
}
