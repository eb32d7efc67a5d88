/** Measures a streamed answer as the reader sees it. */
import type { ChatStats, Usage } from "@/lib/chat/chat-events";

/** An answer that came in one piece tells nothing of the speed: the browser may have been busy with something else. */
const MIN_DECODE_MS = 20;

export class ChatClock {
  private readonly startedAt: number;
  private firstAt: number | null = null;
  private lastAt: number | null = null;
  private numPieces = 0;

  /** `now` in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {
    this.startedAt = now();
  }

  /** A piece of the answer has arrived. */
  mark(): void {
    this.lastAt = this.now();
    this.firstAt ??= this.lastAt;
    this.numPieces += 1;
  }

  /** The server's counts go before what was counted here. */
  stats(usage: Usage | null): ChatStats {
    const ttftMs = this.firstAt === null ? null : this.firstAt - this.startedAt;
    const completionTokens = usage?.completion_tokens ?? this.numPieces;
    return {
      ttftMs,
      totalMs: this.now() - this.startedAt,
      decodeTokensPerSecond: this.decodeRate(completionTokens),
      promptTokensPerSecond: promptRate(usage, ttftMs),
      promptTokens: usage?.prompt_tokens ?? null,
      cachedTokens: usage?.prompt_tokens_details.cached_tokens ?? null,
      completionTokens,
      reasoningTokens: usage?.completion_tokens_details.reasoning_tokens ?? null,
      isEstimated: usage === null,
    };
  }

  private decodeRate(numTokens: number): number | null {
    if (this.firstAt === null || this.lastAt === null || numTokens < 2) return null;
    const ms = this.lastAt - this.firstAt;
    return ms < MIN_DECODE_MS ? null : ((numTokens - 1) / ms) * 1_000;
  }
}

/** Tokens a second of what the cache did not hold. */
function promptRate(usage: Usage | null, ttftMs: number | null): number | null {
  const computed = usage ? usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens : 0;
  return computed > 0 && ttftMs ? (computed / ttftMs) * 1_000 : null;
}
