/** Curves of the metrics page from both services' columns. */
import { type ChartColor, type ChartSeries } from "@/components/charts/series";
import { hasValues, newest } from "@/lib/metrics/history";

type Column = readonly (number | null)[];

export interface Curve {
  key: string;
  label: string;
  column: Column;
  color?: ChartColor;
  isDashed?: boolean;
  /** The column is in another unit: percent to shares, say. */
  scale?: number;
}

/** Only curves that were measured: what no sensor tells is not drawn as zero. */
export function toSeries(times: readonly number[], curves: readonly Curve[]): ChartSeries[] {
  return curves
    .filter(({ column }) => hasValues(column))
    .map(({ column, scale = 1, ...rest }) => ({
      ...rest,
      x: times,
      y: scale === 1 ? column : column.map((value) => (value === null ? null : value * scale)),
    }));
}

export interface MemoryColumns {
  mlx_active_bytes: Column;
  mlx_cache_bytes: Column;
  memory_used_bytes: Column;
  memory_total_bytes: Column;
}

export interface MemoryParts {
  active: number | null;
  cache: number | null;
  other: number | null;
  free: number | null;
  total: number | null;
}

/**
 * The accelerator's memory now, in parts. Where it has none of its own, or no sensor, `host` stands in: memory is then shared.
 * A part that cannot be told from the others is null.
 */
export function memoryParts(accelerator: MemoryColumns, host: { used: Column; totalBytes: number | null }): MemoryParts {
  const active = newest(accelerator.mlx_active_bytes);
  const cache = newest(accelerator.mlx_cache_bytes);
  const own = newest(accelerator.memory_total_bytes);
  const total = own ?? host.totalBytes;
  const used = own === null ? newest(host.used) : newest(accelerator.memory_used_bytes);
  const known = (active ?? 0) + (cache ?? 0);
  return {
    active,
    cache,
    other: used === null ? null : Math.max(0, used - known),
    free: used === null || total === null ? null : Math.max(0, total - Math.max(used, known)),
    total,
  };
}
