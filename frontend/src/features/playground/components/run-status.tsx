"use client";

import { formatCount } from "@/lib/format/numbers";
import { type ChatMessage } from "@/lib/chat/conversation";
import { useOfMessages, useThreadState } from "../hooks/use-thread";
import { type ThreadStore } from "../lib/thread-store";

/** For screen readers: that an answer is being written, then how it ended. */
export function RunStatus({ thread, name }: { thread: ThreadStore; name: string | null }) {
  const state = useThreadState(thread);
  const ending = useOfMessages(thread, state === "idle" ? describeEnding : () => "");
  const said = state === "running" ? "Generating" : state === "waiting" ? "Waiting for the other model" : ending;
  return (
    <p role="status" className="sr-only">
      {said && name ? `${name}: ${said}` : said}
    </p>
  );
}

function describeEnding(messages: readonly ChatMessage[]): string {
  const last = messages.at(-1);
  if (last?.role !== "assistant" || last.error) return "";
  const tokens = last.stats?.completionTokens;
  const count = tokens == null ? "" : `, ${formatCount(tokens, "token")}`;
  return last.finishReason === "stopped" ? `Stopped${count}` : `Answer complete${count}`;
}
