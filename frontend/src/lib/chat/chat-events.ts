/** What a streamed answer is made of. */
import type { Inference } from "@/lib/api/client";

export type ChatRequestBody = Omit<Inference<"ChatRequest">, "stream" | "stream_options">;
export type Usage = Inference<"UsageBody">;

/** `stopped`: by the reader. The others are the server's words. */
export type FinishReason = "stop" | "length" | "tool_calls" | "function_call" | "stopped";

/** A piece of a call; arguments come in several pieces that belong together. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  name?: string;
  arguments?: string;
}

/** What the prompt cache did for this request, from the answer's headers. */
export interface CacheReport {
  outcome: "hit" | "partial" | "miss" | "off";
  cachedTokens: number;
  /** Whether reused state is bit for bit what a cold run computes; null when nothing was reused. */
  isExact: boolean | null;
  /** Why it was not a hit, such as `diverged; token=412; message=1`. */
  reason: string | null;
  /** The whole answer came from the response cache. */
  isReplayed: boolean;
  /** Where the reused state lay; null when the server does not say. */
  tier: "memory" | "disk" | null;
  /** Spans that changed since a stored prompt and cost tokens, such as `message=0; chars=9-19; kind=date; lost_tokens=1310`. */
  changes: string | null;
  /** Rules of the server with which those spans would have cost nothing. */
  suggestion: string | null;
}

export interface ChatStats {
  /** From sending the request to the first text, thought or call; null when there was none. */
  ttftMs: number | null;
  totalMs: number;
  /** Of the answer after its first token; null for less than two tokens. */
  decodeTokensPerSecond: number | null;
  /** Of the part of the prompt that was computed, until the first token; null when all was reused or nothing came. */
  promptTokensPerSecond: number | null;
  promptTokens: number | null;
  cachedTokens: number | null;
  completionTokens: number | null;
  reasoningTokens: number | null;
  /** True when the stream ended before the server told its counts: `completionTokens` counts pieces then. */
  isEstimated: boolean;
}

export type ChatEvent =
  | {
      type: "start";
      requestId: string | null;
      cache: CacheReport | null;
      /** Why another model answers than the default one. */
      modelFallback: string | null;
      /** Keywords of the schema that the answer need not follow. */
      schemaLeftOut: string | null;
    }
  | { type: "delta"; choice: number; content: string; reasoning: string; toolCalls: ToolCallDelta[] }
  | { type: "end"; model: string | null; finishReason: FinishReason | null; stats: ChatStats };

const OUTCOMES = new Set(["hit", "partial", "miss", "off"]);

/** Null when the server says nothing of its cache, or the browser may not read it. */
export function readCacheReport(headers: Headers): CacheReport | null {
  const outcome = headers.get("x-cache");
  if (!outcome || !OUTCOMES.has(outcome)) return null;
  const exact = headers.get("x-cache-exact");
  const tier = headers.get("x-cache-tier");
  return {
    outcome: outcome as CacheReport["outcome"],
    cachedTokens: Number(headers.get("x-cache-tokens") ?? 0) || 0,
    isExact: exact === null ? null : exact === "true",
    reason: headers.get("x-cache-reason"),
    isReplayed: headers.get("x-response-cache") === "hit",
    tier: tier === "memory" || tier === "disk" ? tier : null,
    changes: headers.get("x-cache-volatile"),
    suggestion: headers.get("x-cache-suggestion"),
  };
}
