import { describe, expect, it } from "vitest";
import { type ChatMessage } from "@/lib/chat/conversation";
import { before, countContext, newToolResult, openCalls, withEdit } from "./transcript";

function message(id: string, role: ChatMessage["role"], rest: Partial<ChatMessage> = {}): ChatMessage {
  return { id, role, content: id, createdAt: "", ...rest };
}

const talk = [message("q1", "user"), message("a1", "assistant"), message("q2", "user"), message("a2", "assistant")];
const call = (id: string) => ({ id, name: "get_weather", arguments: "{}" });

describe("before and withEdit", () => {
  it("cut at the message", () => {
    expect(before(talk, "q2").map(({ id }) => id)).toEqual(["q1", "a1"]);
    expect(before(talk, "gone")).toHaveLength(4);
  });

  it("replace the text and drop what followed", () => {
    expect(withEdit(talk, "q1", "new")).toEqual([{ ...talk[0], content: "new" }]);
    expect(talk[0]?.content).toBe("q1");
  });
});

describe("openCalls", () => {
  const asks = message("a", "assistant", { finishReason: "tool_calls", toolCalls: [call("1"), call("2")] });

  it("are the calls of the last answer that have no result", () => {
    expect(openCalls([asks]).map(({ id }) => id)).toEqual(["1", "2"]);
    expect(openCalls([asks, newToolResult("1", "sunny")]).map(({ id }) => id)).toEqual(["2"]);
  });

  it("are none once the talk went on, or when the answer was cut", () => {
    expect(openCalls([asks, message("q", "user")])).toEqual([]);
    expect(openCalls([{ ...asks, finishReason: "stopped" }])).toEqual([]);
    expect(openCalls([])).toEqual([]);
  });
});

describe("countContext", () => {
  it("is what the last counted answer took, prompt and all", () => {
    const stats = { promptTokens: 100, completionTokens: 20 } as ChatMessage["stats"];
    const stopped = { promptTokens: null, completionTokens: 3 } as ChatMessage["stats"];

    expect(countContext([message("a", "assistant", { stats }), message("b", "assistant", { stats: stopped })])).toBe(120);
    expect(countContext(talk)).toBeNull();
  });
});
