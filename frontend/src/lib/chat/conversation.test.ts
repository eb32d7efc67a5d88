// @vitest-environment node
import { describe, expect, it } from "vitest";
import {
  applyChatEvent,
  titleOf,
  toMarkdown,
  toWireMessages,
  type ChatMessage,
  type Conversation,
} from "@/lib/chat/conversation";
import { type ChatEvent } from "@/lib/chat/chat-events";

function message(role: ChatMessage["role"], content: string, rest: Partial<ChatMessage> = {}): ChatMessage {
  return { id: content, role, content, createdAt: "2026-01-01T00:00:00Z", ...rest };
}

const CALL = { id: "c1", name: "weather", arguments: '{"city":"Rome"}' };

describe("titleOf", () => {
  it.each([
    [[], "New conversation"],
    [[message("user", "  Count\n to 3 ")], "Count to 3"],
    [[message("user", "word ".repeat(30))], `${"word ".repeat(11)}word…`],
    [[message("user", "x".repeat(80))], `${"x".repeat(60)}…`],
  ])("%#", (messages, title) => expect(titleOf(messages)).toBe(title));
});

it("a message grows with the events of its stream", () => {
  const delta = { type: "delta" as const, choice: 0, content: "", reasoning: "", toolCalls: [] };
  const stats = { completionTokens: 3 } as Extract<ChatEvent, { type: "end" }>["stats"];
  const events: ChatEvent[] = [
    { type: "start", requestId: "r", cache: null, modelFallback: null, schemaLeftOut: null },
    { ...delta, reasoning: "Hm" },
    { ...delta, reasoning: "." },
    { ...delta, content: "Hel" },
    { ...delta, content: "lo" },
    { ...delta, toolCalls: [{ index: 0, id: "c1", name: "weather", arguments: "" }] },
    { ...delta, toolCalls: [{ index: 0, arguments: '{"city":' }] },
    { ...delta, toolCalls: [{ index: 0, arguments: '"Rome"}' }] },
    { type: "end", model: "talker", finishReason: "tool_calls", stats },
  ];

  const grown = events.reduce(applyChatEvent, message("assistant", ""));

  expect(grown).toMatchObject({
    content: "Hello",
    reasoning: "Hm.",
    toolCalls: [CALL],
    requestId: "r",
    model: "talker",
    finishReason: "tool_calls",
    stats,
  });
});

it("the server gets what was said, without thoughts and answers that never began", () => {
  const sent = toWireMessages("Be brief.", [
    message("user", "Hi"),
    message("assistant", "", { error: "down" }),
    message("assistant", "Hello", { reasoning: "Hm." }),
    message("assistant", "", { toolCalls: [CALL] }),
    message("tool", "Sunny", { toolCallId: "c1" }),
  ]);

  expect(sent).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Rome"}' } }],
    },
    { role: "tool", content: "Sunny", tool_call_id: "c1" },
  ]);
  expect(toWireMessages("  ", [])).toEqual([]);
});

it("Markdown has everything that was said, and how it ended", () => {
  const conversation: Conversation = {
    id: "1",
    title: "Weather",
    createdAt: "2026-01-01T00:00:00Z",
    updatedAt: "2026-01-01T00:00:00Z",
    model: "talker",
    systemPrompt: "Be brief.",
    parameters: {},
    messages: [
      message("user", "Hi"),
      message("assistant", "Hel", { finishReason: "stopped", model: "other" }),
      message("assistant", "", { toolCalls: [CALL] }),
      message("tool", "Sunny"),
      message("assistant", "", { error: "It broke." }),
    ],
  };

  const text = toMarkdown(conversation);

  expect(text).toContain("# Weather\n\ntalker · ");
  expect(text.slice(text.indexOf("## System"))).toBe(
    [
      "## System",
      "Be brief.",
      "## You",
      "Hi",
      "## other",
      "Hel",
      "*(stopped)*",
      "## talker",
      '`weather({"city":"Rome"})`',
      "## Tool result",
      "Sunny",
      "## talker",
      "*(It broke.)*\n",
    ].join("\n\n"),
  );
});
