"use client";

import { memo } from "react";
import { LoadingState } from "@/components/app/loading-state";
import { Spinner } from "@/components/ui/spinner";
import { type ChatMessage } from "@/lib/chat/conversation";
import { type Chat } from "../hooks/use-chat";
import { type Models } from "../hooks/use-models";
import { type Session } from "../hooks/use-session";
import { useMessages, useThreadState } from "../hooks/use-thread";
import { type ThreadStore } from "../lib/thread-store";
import { openCalls } from "../lib/transcript";
import { AssistantMessage } from "./assistant-message";
import { EmptyChat } from "./empty-chat";
import { ToolResultForm } from "./tool-result-form";
import { ToolResult } from "./tool-calls";
import { UserMessage } from "./user-message";

interface MessageListProps {
  index: number;
  thread: ThreadStore;
  session: Session;
  models: Models;
  chat: Chat;
}

export function MessageList({ index, thread, session, models, chat }: MessageListProps) {
  const messages = useMessages(thread);
  const state = useThreadState(thread);
  if (session.isOpening) return <LoadingState what="the conversation" />;
  if (messages.length === 0) {
    return state === "waiting" ? (
      <Waiting />
    ) : (
      <EmptyChat model={session.draft.models[index] ?? null} models={models} onAsk={chat.send} />
    );
  }
  const calls = state === "idle" ? openCalls(messages) : [];
  return (
    <>
      {messages.map((message, place) => (
        <Message
          key={message.id}
          message={message}
          index={index}
          chat={chat}
          isRunning={state === "running" && place === messages.length - 1}
          isBusy={state !== "idle"}
        />
      ))}
      {state === "waiting" ? <Waiting /> : null}
      {calls.length ? <ToolResultForm calls={calls} onSend={(results) => chat.sendResults(index, results)} /> : null}
    </>
  );
}

interface MessageProps {
  message: ChatMessage;
  index: number;
  chat: Chat;
  isRunning: boolean;
  /** The thread answers, this message or another. */
  isBusy: boolean;
}

/** A token changes the last message alone: all others are the same objects, and are not drawn again. */
const Message = memo(function Message({ message, index, chat, isRunning, isBusy }: MessageProps) {
  if (message.role === "user") return <UserMessage message={message} isBusy={isBusy} onEdit={chat.edit} />;
  if (message.role === "tool") return <ToolResult message={message} />;
  return (
    <AssistantMessage
      message={message}
      isRunning={isRunning}
      isBusy={isBusy}
      onRegenerate={() => chat.regenerate(index, message.id)}
    />
  );
});

function Waiting() {
  return (
    <p className="flex items-center gap-2 text-sm text-muted-foreground">
      <Spinner />
      Waiting for the other model, so that speeds are fair
    </p>
  );
}
