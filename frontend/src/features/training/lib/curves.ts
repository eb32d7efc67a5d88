/** From a job's metrics to the series of a chart. */
import { type ChartColor, type ChartSeries } from "@/components/charts/series";
import { type Backend } from "@/lib/api/client";
import { formatBytes } from "@/lib/format/bytes";
import { formatNumber } from "@/lib/format/numbers";

export type Curves = Backend<"MetricsPublic">["series"];

export interface Metric {
  name: string;
  label: string;
  format: (value: number) => string;
}

export const METRICS: readonly Metric[] = [
  { name: "train_loss", label: "Train loss", format: formatNumber },
  { name: "val_loss", label: "Validation loss", format: formatNumber },
  { name: "learning_rate", label: "Learning rate", format: formatNumber },
  { name: "grad_norm", label: "Gradient norm", format: formatNumber },
  { name: "tokens_per_second", label: "Tokens a second", format: formatNumber },
  { name: "peak_memory_bytes", label: "Peak memory", format: formatBytes },
];

export interface CurveLook {
  key?: string;
  label?: string;
  color?: ChartColor;
  isDashed?: boolean;
}

export function toSeries(curves: Curves | undefined, metric: Metric, look: CurveLook = {}): ChartSeries {
  const points = curves?.[metric.name] ?? [];
  return {
    key: metric.name,
    label: metric.label,
    ...look,
    x: points.map(({ step }) => step),
    y: points.map(({ value }) => value),
  };
}

export function metricNamed(name: string | null): Metric {
  return METRICS.find((metric) => metric.name === name) ?? (METRICS[0] as Metric);
}

/** The smallest value and its step; null when nothing was measured. */
export function bestOf(curves: Curves | undefined, name: string): { value: number; step: number } | null {
  let best: { value: number; step: number } | null = null;
  for (const { value, step } of curves?.[name] ?? []) if (!best || value < best.value) best = { value, step };
  return best;
}
