"use client";

import { useQuery } from "@tanstack/react-query";
import { Zap } from "lucide-react";
import { CopyButton } from "@/components/app/copy-button";
import { Badge, type BadgeVariant } from "@/components/ui/badge";
import { Popover, PopoverContent, PopoverTrigger } from "@/components/ui/popover";
import { describeCache } from "@/lib/chat/cache-badge";
import { describeCacheChange, parseCacheChanges } from "@/lib/chat/cache-changes";
import { type CacheReport } from "@/lib/chat/chat-events";
import { type ChatMessage } from "@/lib/chat/conversation";
import { formatPercent } from "@/lib/format/numbers";
import { cacheMisses } from "../api";

const VARIANTS: Record<ReturnType<typeof describeCache>["label"], BadgeVariant> = {
  Hit: "success",
  Partial: "info",
  Replayed: "success",
  Miss: "neutral",
  Off: "outline",
};

/** How much of the prompt came from the cache; a click tells from where, or why it did not. */
export function CacheBadge({ message, cache }: { message: ChatMessage; cache: CacheReport }) {
  const promptTokens = message.stats?.promptTokens ?? null;
  const { label, summary, explanation } = describeCache(cache, promptTokens);
  const share = promptTokens ? cache.cachedTokens / promptTokens : null;
  const amount = cache.cachedTokens > 0 && share !== null ? ` ${formatPercent(share)}` : "";
  return (
    <Popover>
      <PopoverTrigger asChild>
        <button
          type="button"
          aria-label={`Cache ${label.toLowerCase()}: ${summary}`}
          className="flex min-h-6 items-center rounded-sm"
        >
          <Badge variant={VARIANTS[label]}>
            <Zap aria-hidden />
            Cache {label.toLowerCase()}
            {amount}
          </Badge>
        </button>
      </PopoverTrigger>
      <PopoverContent aria-label="Prompt cache" className="flex flex-col gap-2 text-sm">
        <p className="font-medium">{summary}</p>
        {explanation ? <p className="text-muted-foreground">{explanation}</p> : null}
        <Changes message={message} cache={cache} />
        {message.requestId ? (
          <p className="flex items-center gap-1 border-t pt-2 text-xs text-muted-foreground">
            Request <code className="truncate font-mono">{message.requestId}</code>
            <CopyButton text={message.requestId} label="Copy request id" />
          </p>
        ) : null}
      </PopoverContent>
    </Popover>
  );
}

/** Text that changed since the stored prompt: its place and cost from the answer, its words as long as the server remembers them. */
function Changes({ message, cache }: { message: ChatMessage; cache: CacheReport }) {
  const changes = parseCacheChanges(cache.changes);
  const { data } = useQuery({ ...cacheMisses, enabled: changes.length > 0 });
  if (changes.length === 0) return null;
  const spans = data?.recent.find((miss) => miss.request_id === message.requestId)?.spans ?? [];
  return (
    <ul className="flex flex-col gap-2">
      {changes.map((change, index) => {
        const span = spans[index];
        return (
          <li key={index} className="flex flex-col gap-1">
            <p className="text-muted-foreground">{describeCacheChange(change)}</p>
            {span ? (
              <p className="font-mono text-xs break-words">
                <del className="rounded-sm bg-destructive-soft px-1 text-destructive">{span.old || "(nothing)"}</del>{" "}
                <ins className="rounded-sm bg-success-soft px-1 text-success no-underline">{span.new || "(nothing)"}</ins>
              </p>
            ) : null}
          </li>
        );
      })}
      {cache.suggestion ? (
        <li className="text-xs text-muted-foreground">
          A rule helps: <code className="font-mono">MLX_PROMPT_CACHE_RULES={cache.suggestion}</code>
        </li>
      ) : null}
    </ul>
  );
}
