/**
 * One model's side of the playground: its messages, and the answer that is being written. Lives outside React, so that a token
 * redraws the last message and nothing else.
 */
import { ApiError, describeError } from "@/lib/api/errors";
import { ChatClock } from "@/lib/chat/chat-clock";
import { type ChatRequestBody } from "@/lib/chat/chat-events";
import { applyChatEvent, type ChatMessage } from "@/lib/chat/conversation";
import { streamChat } from "@/lib/chat/stream-chat";
import { createFrame } from "./frame";
import { newMessageId } from "./transcript";

/** `waiting`: for the other side to finish. */
export type ThreadState = "idle" | "waiting" | "running";

export class ThreadStore {
  private messages: readonly ChatMessage[] = [];
  private state: ThreadState = "idle";
  private connection: AbortController | null = null;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The same array until it changes; a message is the same object until it changes. */
  readonly getMessages = (): readonly ChatMessage[] => this.messages;
  readonly getState = (): ThreadState => this.state;

  /** Ends a running answer. */
  setMessages(messages: readonly ChatMessage[]): void {
    this.stop();
    this.messages = messages;
    this.tell();
  }

  /** What follows will wait for its turn. */
  wait(): void {
    this.setState("waiting");
  }

  /** Ends the request, here and at the server; what has come stays. */
  stop(): void {
    this.connection?.abort();
    this.connection = null;
    this.setState("idle");
  }

  /** Asks, and appends the answer as it comes. Never throws: what goes wrong is told in the message. */
  async run(body: ChatRequestBody): Promise<void> {
    this.connection?.abort();
    const connection = (this.connection = new AbortController());
    const clock = new ChatClock();
    let answer: ChatMessage = {
      id: newMessageId(),
      role: "assistant",
      content: "",
      createdAt: new Date().toISOString(),
      model: body.model ?? null,
    };
    this.messages = [...this.messages, answer];
    this.setState("running");
    const frame = createFrame(() => this.redraw(answer));
    try {
      for await (const event of streamChat(body, { signal: connection.signal })) {
        answer = applyChatEvent(answer, event);
        if (event.type === "delta") {
          clock.mark();
          answer = { ...answer, stats: clock.stats(null) };
        }
        frame.request();
      }
    } catch (error) {
      answer = { ...answer, ...toFailure(error) };
    }
    frame.flush();
    if (this.connection === connection) this.stop();
  }

  private redraw(answer: ChatMessage): void {
    const index = this.messages.findLastIndex((message) => message.id === answer.id);
    // The list may have been replaced meanwhile, by another conversation or an edit.
    if (index === -1) return;
    this.messages = this.messages.with(index, answer);
    this.tell();
  }

  private setState(state: ThreadState): void {
    this.state = state;
    this.tell();
  }

  private tell(): void {
    this.listeners.forEach((listener) => listener());
  }
}

function toFailure(error: unknown): Partial<ChatMessage> {
  const { title, message, nextStep } = describeError(error);
  return {
    error: [`${title}: ${message}`, nextStep].filter(Boolean).join(" "),
    finishReason: null,
    ...(error instanceof ApiError && error.requestId ? { requestId: error.requestId } : {}),
  };
}
