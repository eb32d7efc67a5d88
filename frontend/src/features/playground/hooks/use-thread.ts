"use client";

import { useSyncExternalStore } from "react";
import { type ChatMessage } from "@/lib/chat/conversation";
import { type ThreadState, type ThreadStore } from "../lib/thread-store";

const NONE: readonly ChatMessage[] = [];

/** Redraws with every frame of an answer: for what shows messages, and nothing above it. */
export function useMessages(thread: ThreadStore): readonly ChatMessage[] {
  return useSyncExternalStore(thread.subscribe, thread.getMessages, () => NONE);
}

/** Redraws only when a run begins or ends. */
export function useThreadState(thread: ThreadStore): ThreadState {
  return useSyncExternalStore(thread.subscribe, thread.getState, () => "idle");
}

/** Something of the messages; redraws when it changes, so it must be a plain value. */
export function useOfMessages<Value extends string | number | boolean | null>(
  thread: ThreadStore,
  read: (messages: readonly ChatMessage[]) => Value,
): Value {
  const get = () => read(thread.getMessages());
  return useSyncExternalStore(thread.subscribe, get, get);
}
