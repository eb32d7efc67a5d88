/** Two versions side by side: what differs in their configuration, and which did better. */
import { ABSENT, formatInteger, formatNumber } from "@/lib/format/numbers";
import type { Version } from "./model-rows";

export interface ComparedRow {
  name: string;
  /** Formatted, one for each version. */
  values: string[];
  isDifferent: boolean;
  /** Index of the better version; null where neither is, or better means nothing. */
  better: number | null;
}

/** Of these a smaller value is better. */
const LOWER_IS_BETTER = new Set(["train_loss", "adapter_loss", "adapter_perplexity", "best_val_loss"]);
/** Notes for the reader of one version, not results. */
const NOTES = new Set(["is_servable", "note", "evaluation_error"]);

export function compareMetrics(versions: readonly Version[]): ComparedRow[] {
  return compare(versions.map((version) => version.metrics)).filter((row) => !NOTES.has(row.key));
}

export function compareConfigs(versions: readonly Version[]): ComparedRow[] {
  return compare(versions.map((version) => version.config));
}

/** The results of one version, and its notes where there are any. */
export function readMetrics({ metrics }: Version): [name: string, value: string][] {
  return Object.entries(metrics)
    .filter(([key, value]) => !NOTES.has(key) || (value !== null && value !== true))
    .map(([key, value]) => [humanise(key), formatValue(value)]);
}

/** Where they come from: the base's commit, the data, the seed, the code. */
export function compareOrigins(versions: readonly Version[]): ComparedRow[] {
  return compare(
    versions.map(({ base_commit, dataset_sha256, seed, code_version }) => ({
      base_commit: base_commit?.slice(0, 10) ?? null,
      dataset: dataset_sha256?.slice(0, 10) ?? null,
      seed,
      code: code_version,
    })),
  );
}

function compare(records: readonly Record<string, unknown>[]): (ComparedRow & { key: string })[] {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  return names.map((key) => {
    const raw = records.map((record) => record[key] ?? null);
    const values = raw.map(formatValue);
    const isDifferent = new Set(raw.map((value) => JSON.stringify(value))).size > 1;
    return { key, name: humanise(key), values, isDifferent, better: isDifferent ? findBetter(key, raw) : null };
  });
}

function findBetter(key: string, values: readonly unknown[]): number | null {
  if (!LOWER_IS_BETTER.has(key)) return null;
  const numbers = values.map((value) => (typeof value === "number" ? value : Infinity));
  const best = Math.min(...numbers);
  return Number.isFinite(best) && numbers.filter((value) => value === best).length === 1 ? numbers.indexOf(best) : null;
}

/** "lora_rank" → "LoRA rank" */
export function humanise(key: string): string {
  const text = key
    .replaceAll("_", " ")
    .replace(/^(is|num) /, "")
    .replace(/\blora\b/g, "LoRA");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function formatValue(value: unknown): string {
  if (value === null || value === undefined || value === "") return ABSENT;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? formatInteger(value) : formatNumber(value);
  if (Array.isArray(value)) return value.length ? value.map(formatValue).join(", ") : "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
