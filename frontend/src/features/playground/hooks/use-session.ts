"use client";

import { useSearchParams } from "next/navigation";
import { useCallback, useEffect, useRef, useState } from "react";
import { toastFailure } from "@/components/app/toasts";
import { titleOf, type Conversation } from "@/lib/chat/conversation";
import { getConversation } from "@/lib/storage/history";
import { settings } from "@/lib/storage/settings";
import { useHistoryChanges } from "../api";
import { DEFAULT_PARAMETERS, readParameters, type Parameters } from "../lib/parameters";
import { readAddress, writeAddress } from "../lib/session-url";
import { ThreadStore } from "../lib/thread-store";
import { newMessageId } from "../lib/transcript";

export interface Draft {
  id: string;
  title: string | null;
  createdAt: string;
  /** One, or two to compare; null is not chosen yet. */
  models: (string | null)[];
  systemPrompt: string;
  parameters: Parameters;
}

/** A new chat begins as Settings say. */
function newDraft(models: (string | null)[]): Draft {
  const { systemPrompt, temperature, maxTokens } = settings.get();
  return {
    id: newMessageId(),
    title: null,
    createdAt: new Date().toISOString(),
    models: models.length ? models : [null],
    systemPrompt,
    parameters: { ...DEFAULT_PARAMETERS, temperature, max_tokens: maxTokens },
  };
}

function draftOf(conversation: Conversation): Draft {
  const { id, title, createdAt, model, compared, systemPrompt, parameters } = conversation;
  return {
    id,
    title: title === titleOf(conversation.messages) ? null : title,
    createdAt,
    models: compared ? [model, compared.model] : [model],
    systemPrompt,
    parameters: readParameters(parameters),
  };
}

/** The open conversation: what it is set to, its two threads, and its place in the address and in the history. */
export function useSession() {
  const search = useSearchParams().toString();
  const [threads] = useState(() => [new ThreadStore(), new ThreadStore()] as const);
  const [draft, setDraft] = useState(() => newDraft(readAddress(search).models));
  const [prompt, setPrompt] = useState(() => readAddress(search).prompt ?? "");
  const [isOpening, setIsOpening] = useState(() => readAddress(search).conversation !== null);
  const { save: saveToHistory } = useHistoryChanges();
  /** Of a conversation that is in the history; the address names it then. */
  const saved = useRef<string | null>(null);
  const written = useRef<string | null>(null);
  const latest = useRef(draft);
  latest.current = draft;

  const change = useCallback((part: Partial<Draft>) => {
    latest.current = { ...latest.current, ...part };
    setDraft(latest.current);
  }, []);

  const writeURL = useCallback(() => {
    const models = latest.current.models.filter((name) => name !== null);
    const next = writeAddress({ models, conversation: saved.current });
    if (next === written.current) return;
    written.current = new URLSearchParams(next).toString();
    window.history.replaceState(null, "", next ? `?${next}` : window.location.pathname);
  }, []);

  const open = useCallback(
    (conversation: Conversation) => {
      saved.current = conversation.id;
      threads[0].setMessages(conversation.messages);
      threads[1].setMessages(conversation.compared?.messages ?? []);
      change(draftOf(conversation));
      writeURL();
    },
    [threads, change, writeURL],
  );

  const startNew = useCallback(() => {
    saved.current = null;
    threads.forEach((thread) => thread.setMessages([]));
    const { models, systemPrompt, parameters } = latest.current;
    change({ ...newDraft(models), systemPrompt, parameters });
    writeURL();
  }, [threads, change, writeURL]);

  /** The conversation as it is now. */
  const snapshot = useCallback((): Conversation => {
    const { models, title, ...rest } = latest.current;
    const messages = [...threads[0].getMessages()];
    return {
      ...rest,
      title: title ?? titleOf(messages),
      updatedAt: new Date().toISOString(),
      model: models[0] ?? null,
      messages,
      compared: models.length > 1 ? { model: models[1] ?? null, messages: [...threads[1].getMessages()] } : null,
    };
  }, [threads]);

  const save = useCallback(async () => {
    const conversation = snapshot();
    if (conversation.messages.length === 0) return;
    saved.current = conversation.id;
    await saveToHistory(conversation);
    if (latest.current.id === conversation.id) writeURL();
  }, [snapshot, saveToHistory, writeURL]);

  // The address is an input too: a link on another page, the history's entries, the browser's own buttons.
  useEffect(() => {
    if (search === written.current) return;
    written.current = search;
    const address = readAddress(search);
    if (address.prompt) setPrompt(address.prompt);
    if (address.models.length) change({ models: address.models });
    const id = address.conversation;
    if (!id || id === saved.current) return setIsOpening(false);
    let isCurrent = true;
    setIsOpening(true);
    getConversation(id)
      .catch(() => null)
      .then((conversation) => {
        if (!isCurrent) return;
        setIsOpening(false);
        if (conversation) return open(conversation);
        toastFailure("Conversation not found", {
          description: "Conversations are kept in the browser that had them. It may have been deleted.",
        });
        startNew();
      });
    return () => {
      isCurrent = false;
      // React's strict mode runs this twice: the second run must find its work undone.
      written.current = null;
    };
  }, [search, change, open, startNew]);

  // Whoever leaves the page leaves the answer.
  useEffect(() => () => threads.forEach((thread) => thread.stop()), [threads]);

  return { draft, change, threads, prompt, isOpening, open, startNew, save, snapshot, writeURL, latest };
}

export type Session = ReturnType<typeof useSession>;
