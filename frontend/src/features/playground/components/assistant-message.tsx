"use client";

import { CircleAlert, RotateCcw } from "lucide-react";
import { CopyButton } from "@/components/app/copy-button";
import { Markdown } from "@/components/app/markdown";
import { Alert, AlertDescription } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import { Spinner } from "@/components/ui/spinner";
import { type ChatMessage } from "@/lib/chat/conversation";
import { MessageStats } from "./message-stats";
import { Reasoning } from "./reasoning";
import { ToolCalls } from "./tool-calls";

interface AssistantMessageProps {
  message: ChatMessage;
  isRunning: boolean;
  isBusy: boolean;
  onRegenerate: () => void;
}

export function AssistantMessage({ message, isRunning, isBusy, onRegenerate }: AssistantMessageProps) {
  const { content, reasoning, toolCalls, error, model } = message;
  const isEmpty = hasNothing(message);
  return (
    <article aria-label={`Answer of ${model ?? "the default model"}`} className="flex min-w-0 flex-col gap-2.5">
      {reasoning ? <Reasoning text={reasoning} isThinking={isRunning && !content} /> : null}
      {content ? <Markdown text={content} streaming={isRunning} /> : null}
      {toolCalls?.length ? <ToolCalls calls={toolCalls} /> : null}
      {isEmpty && !error ? <NothingYet message={message} isRunning={isRunning} /> : null}
      {error ? <Failure text={error} /> : null}
      <Notices message={message} />
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        {isRunning ? null : <Actions message={message} isBusy={isBusy} onRegenerate={onRegenerate} />}
        <MessageStats message={message} isRunning={isRunning} />
      </div>
    </article>
  );
}

function hasNothing({ content, reasoning, toolCalls }: ChatMessage): boolean {
  return !content && !reasoning && !toolCalls?.length;
}

function Failure({ text }: { text: string }) {
  return (
    <Alert variant="destructive" role="alert">
      <CircleAlert aria-hidden />
      <AlertDescription>{text}</AlertDescription>
    </Alert>
  );
}

function NothingYet({ message, isRunning }: { message: ChatMessage; isRunning: boolean }) {
  if (isRunning) {
    return (
      <p className="flex items-center gap-2 text-sm text-muted-foreground">
        <Spinner />
        {message.cache ? "Reading the prompt" : "Waiting for the server"}
      </p>
    );
  }
  const isStopped = message.finishReason === "stopped";
  return (
    <p className="text-sm text-muted-foreground italic">
      {isStopped ? "Stopped before the first token." : "The model ended its answer at once."}
    </p>
  );
}

function Actions({ message, isBusy, onRegenerate }: Omit<AssistantMessageProps, "isRunning">) {
  const again = message.error ? "Try again" : "Regenerate";
  return (
    <div className="-ml-1.5 flex">
      {message.content ? <CopyButton text={message.content} label="Copy answer" /> : null}
      <Button variant="ghost" size="icon-sm" aria-label={again} title={again} disabled={isBusy} onClick={onRegenerate}>
        <RotateCcw aria-hidden />
      </Button>
    </div>
  );
}

/** How the answer is not what was asked for. */
function Notices({ message }: { message: ChatMessage }) {
  const notices = [
    message.finishReason === "length" ? "Cut off: the answer reached its most tokens, or the end of the context window." : null,
    message.modelFallback ? `Another model answered: ${message.modelFallback}` : null,
    message.schemaLeftOut ? `Parts of the schema that do not bind the answer: ${message.schemaLeftOut}` : null,
  ].filter((notice) => notice !== null);
  return notices.map((notice) => (
    <p key={notice} className="text-xs text-warning">
      {notice}
    </p>
  ));
}
