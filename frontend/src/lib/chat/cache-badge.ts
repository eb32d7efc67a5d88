/** The prompt cache's report in words. */
import type { CacheReport } from "@/lib/chat/chat-events";
import { formatInteger } from "@/lib/format/numbers";

export interface CacheBadge {
  label: "Hit" | "Partial" | "Miss" | "Off" | "Replayed";
  /** How much was reused, in a sentence. */
  summary: string;
  /** Why not more, or how exact; null when there is nothing to say. */
  explanation: string | null;
}

const LABELS = { hit: "Hit", partial: "Partial", miss: "Miss", off: "Off" } as const;

const REASONS: Record<string, string> = {
  cold: "Nothing like this prompt was stored before.",
  evicted: "It was stored and had to make room for others.",
  weights_changed: "It was stored by the same model with other weights.",
  adapter_changed: "It was stored with another adapter.",
  template_changed: "It was stored with another chat template.",
  corrupt: "The stored file was damaged and has been put aside.",
  too_short: "Prompts of fewer than five tokens are not looked up.",
  unsupported: "This model's state cannot be stored.",
  disabled: "The prompt cache is switched off.",
  not_asked: "The request reads every token of the prompt, which stored state does not hold.",
};

export function describeCache(cache: CacheReport, promptTokens: number | null): CacheBadge {
  if (cache.isReplayed) {
    return {
      label: "Replayed",
      summary: "The whole answer came from the response cache.",
      explanation: null,
    };
  }
  return {
    label: LABELS[cache.outcome],
    summary: summarise(cache, promptTokens),
    explanation: explain(cache),
  };
}

function summarise(cache: CacheReport, promptTokens: number | null): string {
  if (cache.outcome === "off") return "The prompt cache was not used.";
  const reused = formatInteger(cache.cachedTokens);
  const from = cache.tier && cache.cachedTokens > 0 ? `, from ${cache.tier}` : "";
  if (promptTokens === null) return `${reused} prompt tokens reused${from}`;
  return `${reused} of ${formatInteger(promptTokens)} prompt tokens reused${from}`;
}

function explain(cache: CacheReport): string | null {
  if (cache.reason) return explainReason(cache.reason);
  if (cache.isExact === false) return "Reused at a place where the last bits of a number may differ from a cold run.";
  return null;
}

/** `diverged; token=412; message=1` and the like, as a sentence. */
export function explainReason(reason: string): string {
  const [name = "", ...details] = reason.split(";").map((part) => part.trim());
  const facts = new Map(details.map((detail) => detail.split("=", 2) as [string, string | undefined]));
  if (name === "diverged") {
    const token = facts.get("token");
    const message = facts.get("message");
    const where = token === undefined ? "" : ` at token ${formatInteger(Number(token))}`;
    return `Stored prompts begin alike and differ${where}${message === undefined ? "" : `, in message ${Number(message) + 1}`}.`;
  }
  return REASONS[name] ?? reason;
}
