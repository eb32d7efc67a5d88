/** Whether a model fits this machine, in words. The API decides; here it is only told. */
import type { Backend } from "@/lib/api/client";
import { formatBytes, formatBytesOf } from "@/lib/format/bytes";
import { formatInteger, formatPercent } from "@/lib/format/numbers";

export type Fit = Backend<"Fit">;

export const FIT_LABELS: Record<Fit | "unknown", string> = {
  yes: "Fits",
  tight: "Tight fit",
  no: "Too large",
  unknown: "Size unknown",
};

/** "4.2 of 25 GB"; null while either is unknown. */
export function describeNeed(neededBytes: number | null, machineBytes: number | null | undefined): string | null {
  return neededBytes === null || !machineBytes ? null : formatBytesOf(neededBytes, machineBytes);
}

/** One sentence with the numbers behind the verdict. */
export function explainFit(model: Backend<"HubModelDetails">): string {
  const needed = formatBytes(model.memory_bytes);
  const machine = formatBytes(model.machine_memory_bytes);
  const context = model.kv_cache_bytes === null ? "" : ` with a context of ${formatInteger(model.context_tokens)} tokens`;
  if (!model.memory_bytes) return "The hub does not say how large its weights are.";
  const share = model.memory_bytes / model.machine_memory_bytes;
  const ofMachine =
    share < 0.01 ? `little of this machine's ${machine}` : `${formatPercent(share)} of this machine's ${machine}`;
  if (model.fits === "no") return `Needs about ${needed}${context}. This machine has ${machine}, so it will not load.`;
  const advice = model.fits === "tight" ? " Close other programs first." : "";
  return `Needs about ${needed}${context}, ${ofMachine}.${advice}`;
}

/** Keys and values of so many tokens; null when the model's config does not tell. */
export function contextBytes(model: Backend<"HubModelDetails">, numTokens: number): number | null {
  if (model.kv_cache_bytes === null || !model.context_tokens) return null;
  return (model.kv_cache_bytes / model.context_tokens) * numTokens;
}
