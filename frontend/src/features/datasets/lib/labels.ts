/** Words for what the backend says in codes. */
import { formatPercent } from "@/lib/format/numbers";
import { type Dataset } from "../api";

const FORMATS: Record<Dataset["format"], string> = {
  chat: "Chat",
  tools: "Chat with tools",
  completions: "Prompt and completion",
  text: "Plain text",
};

export function formatName(format: Dataset["format"]): string {
  return FORMATS[format];
}

const SOURCES: Record<string, string> = {
  jsonl: "Uploaded",
  json_array: "Uploaded as a JSON array",
  csv: "Uploaded as a table",
  text: "Uploaded as plain text",
  edit: "Edited rows of another dataset",
  convert: "Another dataset in this format",
  deduplicate: "Another dataset without its duplicates",
};

/** Where the dataset came from. */
export function sourceName(source: Dataset["report"]["source"]): string | null {
  if (!source) return null;
  if (source.kind === "split") {
    const share = source.validation_share
      ? ` (${formatPercent(source.validation_share)} for validation, seed ${source.seed})`
      : "";
    return `A part of another dataset${share}`;
  }
  const name = SOURCES[source.kind] ?? "Made from another dataset";
  return source.file_name ? `${name}: ${source.file_name}` : name;
}

/** `invalid_json` → "Invalid JSON" */
export function problemName(code: string): string {
  const words = code.replaceAll("_", " ").replace(/\bjson\b/, "JSON");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Rows with problems that are still usable. */
export const USABLE_PROBLEMS: ReadonlySet<string> = new Set(["duplicate", "truncated"]);

/** All problems that the report counts. */
export function countProblems({ report }: Dataset): number {
  return Object.values(report.problem_counts ?? {}).reduce((sum, count) => sum + count, 0);
}
