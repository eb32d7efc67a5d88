"use client";

import { ArrowUp, Square } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";
import { modifierName } from "@/components/app/platform";
import { Button } from "@/components/ui/button";
import { Kbd } from "@/components/ui/kbd";
import { Textarea } from "@/components/ui/textarea";
import { type Chat } from "../hooks/use-chat";
import { type Models } from "../hooks/use-models";
import { usePreferences } from "../hooks/preferences";
import { type Session } from "../hooks/use-session";
import { useThreadState } from "../hooks/use-thread";
import { ContextGauge } from "./context-gauge";

interface ComposerProps {
  session: Session;
  models: Models;
  chat: Chat;
}

/** Where a person writes, and stops what was asked. One for both models when two are compared. */
export function Composer({ session, models, chat }: ComposerProps) {
  const { sendsOnEnter } = usePreferences();
  const [text, setText] = useState(session.prompt);
  const field = useRef<HTMLTextAreaElement>(null);
  const states = [useThreadState(session.threads[0]), useThreadState(session.threads[1])];
  const isBusy = states.some((state) => state !== "idle");
  const mod = modifierName();

  function submit() {
    if (isBusy || !chat.send(text)) return;
    setText("");
    field.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.key !== "Enter" || event.nativeEvent.isComposing || event.shiftKey) return;
    if (!sendsOnEnter && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    submit();
  }

  return (
    <form
      aria-label="New message"
      className="border-t bg-background px-4 py-3"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div className="mx-auto flex w-full max-w-3xl flex-col gap-2">
        <div className="flex items-end gap-2">
          <Textarea
            ref={field}
            aria-label="Message"
            placeholder="Write a message…"
            className="max-h-48 min-h-10 resize-none py-2"
            rows={1}
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={onKeyDown}
          />
          {isBusy ? (
            <Button variant="destructive" size="lg" className="h-10" onClick={chat.stop}>
              <Square aria-hidden />
              Stop
            </Button>
          ) : (
            <Button type="submit" size="lg" className="h-10" disabled={!text.trim()}>
              <ArrowUp aria-hidden />
              Send
            </Button>
          )}
        </div>
        <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 text-xs text-muted-foreground">
          <p className="hidden items-center gap-1 sm:flex">
            {isBusy ? (
              <>
                <Kbd>Esc</Kbd> stops
              </>
            ) : (
              <>
                {sendsOnEnter ? null : <Kbd>{mod}</Kbd>}
                <Kbd>Enter</Kbd> sends
                {sendsOnEnter ? (
                  <>
                    , <Kbd>Shift</Kbd>
                    <Kbd>Enter</Kbd> breaks the line
                  </>
                ) : null}
              </>
            )}
          </p>
          <div className="ml-auto flex flex-wrap gap-x-4">
            {session.draft.models.map((name, index) => (
              <ContextGauge
                key={index}
                thread={session.threads[index] ?? session.threads[0]}
                limit={name === null ? null : (models.served[name]?.max_context_tokens ?? null)}
                label={session.draft.models.length > 1 ? `Context of the ${index ? "second" : "first"} model` : "Context"}
              />
            ))}
          </div>
        </div>
      </div>
    </form>
  );
}
