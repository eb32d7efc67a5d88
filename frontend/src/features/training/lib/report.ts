/** What the checks before a start say, and what follows from it. */
import { type Backend } from "@/lib/api/client";
import { isPresent } from "@/lib/format/numbers";

export type Report = Backend<"PreflightPublic">["report"];

export type Fit = "fits" | "tight" | "too_large";

/** The rest of the system wants some too. */
const TIGHT_SHARE = 0.75;

export function fitOf(neededBytes: number, machineBytes: number): Fit {
  if (neededBytes > machineBytes) return "too_large";
  return neededBytes > machineBytes * TIGHT_SHARE ? "tight" : "fits";
}

/** At the pace of an earlier job on the same model; null when there is none. */
export function estimateSeconds(report: Report, tokensPerSecond: number | null | undefined): number | null {
  const numRows = report.num_train_rows + report.num_held_out_rows;
  if (!isPresent(tokensPerSecond) || tokensPerSecond <= 0 || !numRows || !report.steps_per_epoch) return null;
  const tokensPerEpoch = (report.lengths.total ?? 0) * (report.num_train_rows / numRows);
  return (tokensPerEpoch * (report.num_steps / report.steps_per_epoch)) / tokensPerSecond;
}

/** A job keeps its report as JSON; an empty one was not made yet. */
export function asReport(value: Readonly<Record<string, unknown>>): Report | null {
  return typeof value.num_rows === "number" && typeof value.memory === "object" ? (value as unknown as Report) : null;
}

/** "lines 3, 8 and 12": the first that a warning names. */
export function describeLines(lines: readonly number[], count: number): string {
  if (lines.length === 0) return "";
  const shown = lines.slice(0, 5);
  const rest = count - shown.length;
  const word = shown.length === 1 && rest === 0 ? "line" : "lines";
  return `${word} ${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
