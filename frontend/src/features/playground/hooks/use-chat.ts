"use client";

import { useCallback, useMemo } from "react";
import { toastFailure, toastInfo } from "@/components/app/toasts";
import { type ChatRequestBody } from "@/lib/chat/chat-events";
import { toWireMessages, type ChatMessage } from "@/lib/chat/conversation";
import { findProblem, toWireParameters } from "../lib/parameters";
import { type ThreadStore } from "../lib/thread-store";
import { before, newToolResult, newUserMessage, withEdit } from "../lib/transcript";
import { preferences } from "./preferences";
import { type Draft, type Session } from "./use-session";

/** The request that a thread would send with these messages. */
export function toRequestBody(draft: Draft, index: number, messages: readonly ChatMessage[]): ChatRequestBody {
  const model = draft.models[index];
  return {
    ...(model ? { model } : {}),
    messages: toWireMessages(draft.systemPrompt, messages),
    ...toWireParameters(draft.parameters),
  };
}

/** What a person does in the chat. Everything that asks a model returns false when there is something to mend first. */
export function useChat(session: Session) {
  const { threads, latest, save } = session;

  const stop = useCallback(() => threads.forEach((thread) => thread.stop()), [threads]);

  /** Lets the threads answer, one after another unless both may run at once. */
  const answer = useCallback(
    async (indices: readonly number[]) => {
      const ask = (index: number) => {
        const thread = threads[index] as ThreadStore;
        return thread.run(toRequestBody(latest.current, index, thread.getMessages()));
      };
      // The question is kept before it is answered: a reload must not lose it.
      void save();
      if (preferences.get().isParallel) {
        await Promise.all(indices.map(ask));
      } else {
        indices.slice(1).forEach((index) => threads[index]?.wait());
        for (const [place, index] of indices.entries()) {
          // Stopped while it waited.
          if (place > 0 && threads[index]?.getState() !== "waiting") continue;
          await ask(index);
        }
      }
      await save();
    },
    [threads, latest, save],
  );

  const isReady = useCallback(() => {
    const problem = findProblem(latest.current.parameters);
    if (problem) toastFailure("Mend the parameters first", { description: problem });
    return problem === null;
  }, [latest]);

  const active = useCallback(() => latest.current.models.map((_, index) => index), [latest]);

  const send = useCallback(
    (text: string): boolean => {
      if (!text.trim() || !isReady()) return false;
      const message = newUserMessage(text);
      for (const index of active()) {
        const thread = threads[index] as ThreadStore;
        thread.setMessages([...thread.getMessages(), message]);
      }
      void answer(active());
      return true;
    },
    [threads, active, answer, isReady],
  );

  /** Another text for a question of before; all that followed goes, and can be brought back. */
  const edit = useCallback(
    (id: string, text: string): boolean => {
      if (!text.trim() || !isReady()) return false;
      const former = threads.map((thread) => thread.getMessages());
      const touched = active().filter((index) => former[index]?.some((message) => message.id === id));
      const dropped = Math.max(...former.map((messages) => messages.length - before(messages, id).length - 1));
      for (const index of touched) threads[index]?.setMessages(withEdit(former[index] ?? [], id, text));
      void answer(touched);
      if (dropped > 1) {
        const undo = () => {
          for (const index of touched) threads[index]?.setMessages(former[index] ?? []);
          void save();
        };
        toastInfo("Went on from the edited message", { action: { label: "Undo", onClick: undo } });
      }
      return true;
    },
    [threads, active, answer, isReady, save],
  );

  /** Asks again for this answer, in its own thread. */
  const regenerate = useCallback(
    (index: number, id: string) => {
      const thread = threads[index];
      if (!thread || !isReady()) return;
      thread.setMessages(before(thread.getMessages(), id));
      void answer([index]);
    },
    [threads, answer, isReady],
  );

  /** Results of the calls by their ids; the model goes on with them. */
  const sendResults = useCallback(
    (index: number, results: ReadonlyMap<string, string>) => {
      const thread = threads[index];
      if (!thread || !isReady()) return;
      const messages = [...results].map(([callId, content]) => newToolResult(callId, content));
      thread.setMessages([...thread.getMessages(), ...messages]);
      void answer([index]);
    },
    [threads, answer, isReady],
  );

  return useMemo(() => ({ stop, send, edit, regenerate, sendResults }), [stop, send, edit, regenerate, sendResults]);
}

export type Chat = ReturnType<typeof useChat>;
