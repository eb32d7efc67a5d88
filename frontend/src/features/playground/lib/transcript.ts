/** Changes of a list of messages. None touches the list it is given. */
import { type ChatMessage, type ToolCall } from "@/lib/chat/conversation";

export function newUserMessage(content: string): ChatMessage {
  return { id: newMessageId(), role: "user", content, createdAt: new Date().toISOString() };
}

export function newMessageId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Everything before the message; all of it when it is not there. */
export function before(messages: readonly ChatMessage[], id: string): ChatMessage[] {
  const index = messages.findIndex((message) => message.id === id);
  return messages.slice(0, index === -1 ? messages.length : index);
}

/** The message with another text, and nothing after it. */
export function withEdit(messages: readonly ChatMessage[], id: string, content: string): ChatMessage[] {
  const message = messages.find((one) => one.id === id);
  return message ? [...before(messages, id), { ...message, content }] : [...messages];
}

/** Calls of the last answer that have no result yet. */
export function openCalls(messages: readonly ChatMessage[]): ToolCall[] {
  const index = messages.findLastIndex((message) => message.role === "assistant");
  const answered = new Set(messages.slice(index + 1).flatMap((message) => message.toolCallId ?? []));
  const answer = messages[index];
  if (!answer || answer.finishReason !== "tool_calls") return [];
  if (messages.slice(index + 1).some((message) => message.role === "user")) return [];
  return (answer.toolCalls ?? []).filter((call) => call.name && !answered.has(call.id));
}

export function newToolResult(callId: string, content: string): ChatMessage {
  return { id: newMessageId(), role: "tool", content, toolCallId: callId, createdAt: new Date().toISOString() };
}

/** Tokens of the conversation so far, as the server counted them with the last answer; null before there is one. */
export function countContext(messages: readonly ChatMessage[]): number | null {
  const stats = messages.findLast((message) => message.stats?.promptTokens != null)?.stats;
  return stats?.promptTokens == null ? null : stats.promptTokens + (stats.completionTokens ?? 0);
}
