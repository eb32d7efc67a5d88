/** A conversation of the playground, as it is kept in this browser and sent to the server. */
import type { Inference } from "@/lib/api/client";
import type { CacheReport, ChatEvent, ChatStats, FinishReason, ToolCallDelta } from "@/lib/chat/chat-events";
import { formatDateTime } from "@/lib/format/time";

export interface ToolCall {
  id: string;
  name: string;
  /** A JSON object as text; whole only when the answer is. */
  arguments: string;
}

export interface ChatMessage {
  id: string;
  role: "user" | "assistant" | "tool";
  content: string;
  createdAt: string;
  reasoning?: string;
  toolCalls?: ToolCall[];
  /** Of a tool's result: the call it answers. */
  toolCallId?: string;
  model?: string | null;
  finishReason?: FinishReason | null;
  stats?: ChatStats;
  cache?: CacheReport | null;
  requestId?: string | null;
  /** Why another model answered than the one asked for. */
  modelFallback?: string | null;
  /** Keywords of the schema that the answer need not follow. */
  schemaLeftOut?: string | null;
  error?: string;
}

/** One side of a comparison. */
export interface Thread {
  model: string | null;
  messages: ChatMessage[];
}

export interface Conversation {
  id: string;
  title: string;
  createdAt: string;
  updatedAt: string;
  model: string | null;
  systemPrompt: string;
  /** Sampling parameters by their names on the wire. */
  parameters: Record<string, unknown>;
  messages: ChatMessage[];
  /** The other model's side, when two were compared. */
  compared?: Thread | null;
}

const TITLE_CHARACTERS = 60;

/** The first question, cut at a word. */
export function titleOf(messages: readonly ChatMessage[]): string {
  const text =
    messages
      .find((message) => message.role === "user")
      ?.content.trim()
      .replace(/\s+/g, " ") ?? "";
  if (!text) return "New conversation";
  if (text.length <= TITLE_CHARACTERS) return text;
  const cut = text.slice(0, TITLE_CHARACTERS);
  const end = cut.lastIndexOf(" ");
  return `${end > TITLE_CHARACTERS / 2 ? cut.slice(0, end) : cut}…`;
}

/** The message after one more event of its stream. */
export function applyChatEvent(message: ChatMessage, event: ChatEvent): ChatMessage {
  switch (event.type) {
    case "start":
      return {
        ...message,
        cache: event.cache,
        requestId: event.requestId,
        modelFallback: event.modelFallback,
        schemaLeftOut: event.schemaLeftOut,
      };
    case "delta":
      return {
        ...message,
        content: message.content + event.content,
        ...(event.reasoning ? { reasoning: (message.reasoning ?? "") + event.reasoning } : {}),
        ...(event.toolCalls.length ? { toolCalls: mergeToolCalls(message.toolCalls ?? [], event.toolCalls) } : {}),
      };
    case "end":
      return {
        ...message,
        model: event.model ?? message.model,
        finishReason: event.finishReason,
        stats: event.stats,
      };
  }
}

function mergeToolCalls(known: readonly ToolCall[], deltas: readonly ToolCallDelta[]): ToolCall[] {
  const calls = [...known];
  for (const delta of deltas) {
    const call = calls[delta.index] ?? { id: "", name: "", arguments: "" };
    calls[delta.index] = {
      id: delta.id ?? call.id,
      name: call.name + (delta.name ?? ""),
      arguments: call.arguments + (delta.arguments ?? ""),
    };
  }
  return calls;
}

type WireMessage = Inference<"ChatRequest">["messages"][number];

/** What the server gets: answers that never began and calls without results are left out, thoughts are not repeated. */
export function toWireMessages(systemPrompt: string, messages: readonly ChatMessage[]): WireMessage[] {
  const system: WireMessage[] = systemPrompt.trim() ? [{ role: "system", content: systemPrompt }] : [];
  const answered = new Set(messages.flatMap((message) => message.toolCallId ?? []));
  return [...system, ...messages.flatMap((message) => toWireMessage(message, answered) ?? [])];
}

function toWireMessage(message: ChatMessage, answered: ReadonlySet<string>): WireMessage | null {
  if (message.role === "user") return { role: "user", content: message.content };
  if (message.role === "tool") return { role: "tool", content: message.content, tool_call_id: message.toolCallId ?? "" };
  const calls = message.toolCalls?.filter((call) => call.name && answered.has(call.id)) ?? [];
  if (!message.content && calls.length === 0) return null;
  return {
    role: "assistant",
    content: message.content || null,
    ...(calls.length
      ? {
          tool_calls: calls.map(({ id, name, arguments: text }) => ({
            id,
            type: "function" as const,
            function: { name, arguments: text },
          })),
        }
      : {}),
  };
}

/** For reading; `JSON.stringify(conversation)` is the form that keeps everything. */
export function toMarkdown(conversation: Conversation): string {
  const parts = [
    `# ${conversation.title}`,
    `${conversation.model ?? "default model"} · ${formatDateTime(conversation.createdAt)}`,
  ];
  if (conversation.systemPrompt.trim()) parts.push("## System", conversation.systemPrompt.trim());
  parts.push(...toParagraphs(conversation));
  const { compared } = conversation;
  if (compared) parts.push(`# Compared with ${compared.model ?? "the default model"}`, ...toParagraphs(compared));
  return `${parts.join("\n\n")}\n`;
}

function toParagraphs({ model, messages }: Thread): string[] {
  const parts: string[] = [];
  for (const message of messages) {
    const name = { user: "You", assistant: message.model ?? model ?? "Assistant", tool: "Tool result" }[message.role];
    parts.push(`## ${name}`);
    if (message.content.trim()) parts.push(message.content.trim());
    for (const call of message.toolCalls ?? []) parts.push(`\`${call.name}(${call.arguments})\``);
    if (message.finishReason === "stopped") parts.push("*(stopped)*");
    if (message.error) parts.push(`*(${message.error})*`);
  }
  return parts;
}
