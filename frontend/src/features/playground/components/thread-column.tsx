"use client";

import { ArrowDown, X } from "lucide-react";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { type Chat } from "../hooks/use-chat";
import { type Models } from "../hooks/use-models";
import { type Session } from "../hooks/use-session";
import { useStickToBottom } from "../hooks/use-stick-to-bottom";
import { useThreadState } from "../hooks/use-thread";
import { type ThreadStore } from "../lib/thread-store";
import { MessageList } from "./message-list";
import { ModelPicker } from "./model-picker";
import { RunStatus } from "./run-status";

interface ThreadColumnProps {
  index: number;
  session: Session;
  models: Models;
  chat: Chat;
  className?: string;
}

const NAMES = ["First model", "Second model"];

/** One model's side: its messages, and when two are compared which model it is. */
export function ThreadColumn({ index, session, models, chat, className }: ThreadColumnProps) {
  const { scroller, content, isAway, jump } = useStickToBottom();
  const { draft } = session;
  const thread = session.threads[index] as ThreadStore;
  const state = useThreadState(thread);
  const isComparing = draft.models.length > 1;
  const name = NAMES[index] ?? "Model";
  return (
    <section
      aria-label={isComparing ? name : "Conversation"}
      className={cn("relative flex min-h-0 min-w-0 flex-col", className)}
    >
      {isComparing ? (
        <div className="flex items-center gap-2 border-b px-4 py-2">
          <ModelPicker
            label={name}
            value={draft.models[index] ?? null}
            onChoose={(chosen) => models.choose(index, chosen)}
            models={models}
          />
          <Button
            variant="ghost"
            size="icon-sm"
            className="ml-auto"
            aria-label={`Close the ${name.toLowerCase()}`}
            onClick={() => models.closeColumn(index)}
          >
            <X aria-hidden />
          </Button>
        </div>
      ) : null}
      <div
        ref={scroller}
        role="log"
        aria-label={isComparing ? `Messages of the ${name.toLowerCase()}` : "Messages"}
        // Streamed text would be read in pieces; the status below says when an answer is complete.
        aria-live="off"
        aria-busy={state === "running"}
        tabIndex={0}
        className="min-h-0 flex-1 overflow-y-auto overscroll-contain focus-visible:outline-offset-[-2px]"
      >
        <div ref={content} className="mx-auto flex w-full max-w-3xl flex-col gap-6 px-4 py-6">
          <MessageList index={index} thread={thread} session={session} chat={chat} models={models} />
        </div>
      </div>
      {isAway ? (
        <Button variant="outline" size="sm" className="absolute bottom-3 left-1/2 -translate-x-1/2" onClick={jump}>
          <ArrowDown aria-hidden />
          Jump to latest
        </Button>
      ) : null}
      <RunStatus thread={thread} name={isComparing ? name : null} />
    </section>
  );
}
