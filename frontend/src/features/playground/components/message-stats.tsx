"use client";

import { Tooltip } from "@/components/ui/tooltip";
import { type ChatStats } from "@/lib/chat/chat-events";
import { type ChatMessage } from "@/lib/chat/conversation";
import { formatInteger, formatNumber } from "@/lib/format/numbers";
import { formatDuration, formatMilliseconds, formatTokensPerSecond } from "@/lib/format/time";
import { CacheBadge } from "./cache-badge";

/** One line under an answer: how fast it came and what it took. */
export function MessageStats({ message, isRunning }: { message: ChatMessage; isRunning: boolean }) {
  const { stats, cache } = message;
  if (!stats && !cache) return null;
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted-foreground tabular-nums">
      {cache ? <CacheBadge message={message} cache={cache} /> : null}
      {stats ? <Figures stats={stats} isRunning={isRunning} /> : null}
      {message.finishReason === "stopped" ? <span className="font-medium text-warning">Stopped</span> : null}
    </div>
  );
}

function Figures({ stats, isRunning }: { stats: ChatStats; isRunning: boolean }) {
  const about = stats.isEstimated ? "≈ " : "";
  const figures = [
    { label: "First token", value: formatMilliseconds(stats.ttftMs), explains: "From sending the request to the first text." },
    {
      label: "Speed",
      value: about + formatTokensPerSecond(stats.decodeTokensPerSecond),
      explains: `Tokens a second after the first one.${
        stats.promptTokensPerSecond === null
          ? ""
          : ` The prompt was read at ${formatNumber(stats.promptTokensPerSecond)} tokens a second, without what was cached.`
      }`,
    },
    {
      label: "Tokens",
      value: `${formatInteger(stats.promptTokens)} in, ${about}${formatInteger(stats.completionTokens)} out`,
      explains: explainTokens(stats),
    },
  ];
  return (
    <dl className="contents">
      {figures.map(({ label, value, explains }) => (
        <div key={label} className="flex gap-1">
          <dt className="sr-only">{label}</dt>
          <dd>
            {isRunning ? (
              value
            ) : (
              <Tooltip content={`${label}: ${explains}`}>
                <button type="button" className="cursor-help rounded-sm">
                  {value}
                </button>
              </Tooltip>
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function explainTokens(stats: ChatStats): string {
  const parts = [
    stats.isEstimated ? "The answer ended before the server told its counts; pieces are counted." : "As the server counts.",
    stats.reasoningTokens ? `${formatInteger(stats.reasoningTokens)} of them are thoughts.` : "",
    `${formatDuration(stats.totalMs / 1000)} in all.`,
  ];
  return parts.filter(Boolean).join(" ");
}
