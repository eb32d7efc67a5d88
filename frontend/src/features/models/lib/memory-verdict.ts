/** What loading a model would mean, in one sentence. */
import type { Inference } from "@/lib/api/client";
import { formatBytes } from "@/lib/format/bytes";

export type MemoryEstimate = Inference<"MemoryEstimate">;
export type Tone = "success" | "warning" | "destructive" | "neutral";

export function describeVerdict(estimate: MemoryEstimate): { title: string; text: string; tone: Tone } {
  const free = formatBytes(estimate.free_bytes);
  const total = formatBytes(estimate.total_bytes);
  switch (estimate.verdict) {
    case "loaded":
      return { title: "It is loaded", text: "It answers at once.", tone: "success" };
    case "fits":
      return { title: "It fits", text: `It takes ${total} of the ${free} that are free.`, tone: "success" };
    case "fits_after_eviction":
      return {
        title: "It fits when others make room",
        text: `It takes ${total}, and ${free} are free. These are unloaded first: ${estimate.would_evict.join(", ")}.`,
        tone: "warning",
      };
    case "too_large":
      return {
        title: "It does not fit",
        text:
          estimate.reason ??
          `It takes ${total}, and ${free} are free. Unload a model that is pinned or in use, or choose a smaller one.`,
        tone: "destructive",
      };
    case "unknown":
      return { title: "Not known", text: estimate.reason ?? "What it takes cannot be told.", tone: "neutral" };
  }
}

const CONTEXTS = [4_096, 16_384, 32_768, 131_072];

/** Contexts worth an estimate, up to the model's own longest. */
export function contextChoices(maxTokens: number | null): number[] {
  if (maxTokens === null) return CONTEXTS;
  const shorter = CONTEXTS.filter((count) => count < maxTokens);
  return maxTokens <= (CONTEXTS.at(-1) as number) ? [...shorter, maxTokens] : shorter;
}
