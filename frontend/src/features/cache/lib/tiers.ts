/** How full the cache's tiers are. */
import { type CacheStats } from "../api";

export interface Tier {
  name: "Memory" | "Disk";
  numEntries: number;
  numBytes: number;
  /** Null: without a limit. */
  maxBytes: number | null;
  /** 0 to 1, also when a limit was lowered below what is held; null without a limit. */
  share: number | null;
}

export function tiersOf(stats: CacheStats): Tier[] {
  return [
    tier("Memory", stats.memory_entries, stats.memory_bytes, stats.max_memory_bytes),
    tier("Disk", stats.disk_entries, stats.disk_bytes, stats.max_disk_bytes),
  ];
}

function tier(name: Tier["name"], numEntries: number, numBytes: number, maxBytes: number): Tier {
  const hasLimit = maxBytes > 0;
  return {
    name,
    numEntries,
    numBytes,
    maxBytes: hasLimit ? maxBytes : null,
    share: hasLimit ? Math.min(1, Math.max(0, numBytes / maxBytes)) : null,
  };
}
