"use client";

import { Tooltip } from "@/components/ui/tooltip";
import { cn } from "@/components/ui/cn";
import { formatCompact, formatInteger, formatPercent } from "@/lib/format/numbers";
import { useOfMessages } from "../hooks/use-thread";
import { type ThreadStore } from "../lib/thread-store";
import { countContext } from "../lib/transcript";

const NEARLY_FULL = 0.85;

interface ContextGaugeProps {
  thread: ThreadStore;
  /** Tokens that the model can read; null when it does not say. */
  limit: number | null;
  label: string;
}

/** How much of the model's window the conversation takes, as of the last answer. */
export function ContextGauge({ thread, limit, label }: ContextGaugeProps) {
  const used = useOfMessages(thread, countContext);
  if (limit === null && used === null) return null;
  const share = used !== null && limit ? Math.min(1, used / limit) : null;
  const isTight = share !== null && share >= NEARLY_FULL;
  const amount = `${formatInteger(used)} of ${formatInteger(limit)} tokens`;
  return (
    <Tooltip
      content={`${label}: ${amount}${share === null ? "" : `, ${formatPercent(share)}`}. ${
        isTight ? "A new conversation would be read faster." : "As of the last answer."
      }`}
    >
      <button type="button" className="flex min-h-6 cursor-help items-center gap-2 rounded-sm tabular-nums">
        <span className="sr-only">{label}: </span>
        <span aria-hidden className="h-1.5 w-16 overflow-hidden rounded-full border bg-muted">
          <span
            className={cn("block h-full", isTight ? "bg-warning" : "bg-primary")}
            style={{ width: `${(share ?? 0) * 100}%` }}
          />
        </span>
        <span className={cn(isTight && "text-warning")}>
          {formatCompact(used)} / {formatCompact(limit)} tokens
        </span>
      </button>
    </Tooltip>
  );
}
