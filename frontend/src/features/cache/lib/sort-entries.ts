import { type Sort } from "@/components/app/data-table";
import { type CacheEntry } from "../api";

const VALUES: Record<string, (entry: CacheEntry) => number> = {
  tokens: (entry) => entry.token_count,
  bytes: (entry) => entry.num_bytes,
  hits: (entry) => entry.hits,
  used: (entry) => Date.parse(entry.last_used),
};

/** A new list; entries that are alike keep their order. */
export function sortEntries(entries: readonly CacheEntry[], { id, direction }: Sort): CacheEntry[] {
  const value = VALUES[id] ?? (() => 0);
  const sign = direction === "asc" ? 1 : -1;
  return [...entries].sort((a, b) => sign * (value(a) - value(b)));
}
