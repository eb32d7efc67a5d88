// @vitest-environment node
import { once } from "node:events";
import { type ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { ApiError } from "@/lib/api/errors";
import { type ChatEvent } from "@/lib/chat/chat-events";
import { streamChat } from "@/lib/chat/stream-chat";
import { readBody, startServer, type Handler } from "@/testing/http-server";

const BODY = { model: "talker", messages: [{ role: "user" as const, content: "Hello" }] };
const USAGE = {
  prompt_tokens: 100,
  completion_tokens: 3,
  total_tokens: 103,
  prompt_tokens_details: { cached_tokens: 80, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 1,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
};

async function serve(handler: Handler): Promise<void> {
  setDeployedURLs({ backend: "http://127.0.0.1:1", inference: await startServer(handler) });
}

function frame(chunk: object): string {
  return `data: ${JSON.stringify({ model: "talker", ...chunk })}\n\n`;
}

function text(content: string): string {
  return frame({ choices: [{ index: 0, delta: { content } }] });
}

function begin(response: ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "text/event-stream", ...headers });
}

/** Sends bytes so that they arrive as a piece of their own. */
async function send(response: ServerResponse, bytes: string | Uint8Array): Promise<void> {
  await new Promise((resolve) => response.write(bytes, resolve));
  await new Promise((resolve) => setTimeout(resolve, 5));
}

async function collect(options: Parameters<typeof streamChat>[1] = {}): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for await (const event of streamChat(BODY, options)) events.push(event);
  return events;
}

function textOf(events: ChatEvent[]): string {
  return events.map((event) => (event.type === "delta" ? event.content : "")).join("");
}

describe("streamChat", () => {
  it("gives text, then counts, and asks for a stream with usage", async () => {
    let asked: Record<string, unknown> = {};
    await serve(async (request, response) => {
      asked = JSON.parse(await readBody(request)) as Record<string, unknown>;
      begin(response, {
        "x-cache": "hit",
        "x-cache-tokens": "80",
        "x-cache-exact": "true",
        "x-request-id": "abc",
      });
      await send(response, frame({ choices: [{ index: 0, delta: { role: "assistant", content: "" } }] }));
      await send(response, text("Hel"));
      await send(response, text("lo"));
      await send(response, frame({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }));
      await send(response, frame({ choices: [], usage: USAGE }));
      response.end("data: [DONE]\n\n");
    });
    let time = 0;

    const events = await collect({ now: () => (time += 100) });

    expect(asked).toEqual({ ...BODY, stream: true, stream_options: { include_usage: true } });
    expect(events[0]).toEqual({
      type: "start",
      requestId: "abc",
      cache: {
        outcome: "hit",
        cachedTokens: 80,
        isExact: true,
        reason: null,
        isReplayed: false,
        tier: null,
        changes: null,
        suggestion: null,
      },
      modelFallback: null,
      schemaLeftOut: null,
    });
    expect(textOf(events)).toBe("Hello");
    expect(events.at(-1)).toEqual({
      type: "end",
      model: "talker",
      finishReason: "stop",
      stats: {
        ttftMs: 100,
        totalMs: 300,
        decodeTokensPerSecond: 20,
        promptTokensPerSecond: 200,
        promptTokens: 100,
        cachedTokens: 80,
        completionTokens: 3,
        reasoningTokens: 1,
        isEstimated: false,
      },
    });
  });

  it("puts a character together whose bytes come in two pieces, and an event cut anywhere", async () => {
    await serve(async (_request, response) => {
      begin(response);
      const bytes = new TextEncoder().encode(text("Grüße 🦊"));
      for (const byte of bytes) response.write(Uint8Array.of(byte));
      await send(response, ": keep-alive\n\n");
      response.end("data: [DONE]\n\n");
    });

    expect(textOf(await collect())).toBe("Grüße 🦊");
  });

  it("gives thoughts and the pieces of calls", async () => {
    await serve((_request, response) => {
      begin(response);
      response.write(frame({ choices: [{ index: 0, delta: { reasoning_content: "Hm." } }] }));
      const call = { index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } };
      response.write(frame({ choices: [{ index: 0, delta: { tool_calls: [call] } }] }));
      response.write(frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: "{}" } }] } }] }));
      response.end("data: [DONE]\n\n");
    });

    const deltas = (await collect()).filter((event) => event.type === "delta");

    expect(deltas.map(({ reasoning, toolCalls }) => [reasoning, toolCalls])).toEqual([
      ["Hm.", []],
      ["", [{ index: 0, id: "call_1", name: "weather", arguments: "" }]],
      ["", [{ index: 0, id: undefined, name: undefined, arguments: "{}" }]],
    ]);
  });

  it("throws what the server says when it refuses", async () => {
    await serve((_request, response) => {
      response.writeHead(429, { "content-type": "application/json", "retry-after": "2", "x-request-id": "q1" });
      response.end(JSON.stringify({ error: { message: "The queue is full.", type: "x", param: null, code: "queue_full" } }));
    });

    await expect(collect()).rejects.toMatchObject({
      status: 429,
      code: "queue_full",
      message: "The queue is full.",
      retryAfterSeconds: 2,
      requestId: "q1",
    });
  });

  it("throws an error that comes in the middle of a stream", async () => {
    await serve(async (_request, response) => {
      begin(response);
      await send(response, text("Hel"));
      response.end(frame({ error: { message: "The engine died.", type: "server_error", param: null, code: "engine_down" } }));
    });

    await expect(collect()).rejects.toMatchObject({ code: "engine_down", message: "The engine died." });
  });

  it.each([
    ["ends without saying so", (response: ServerResponse) => void response.end()],
    ["breaks", (response: ServerResponse) => void response.destroy()],
  ])("does not take a stream that %s for a whole answer", async (_how, end) => {
    await serve(async (_request, response) => {
      begin(response);
      await send(response, text("Hel"));
      end(response);
    });

    await expect(collect()).rejects.toMatchObject({ code: "connection_lost" });
  });

  it("says that the address is wrong when what comes is not JSON", async () => {
    await serve((_request, response) => {
      begin(response);
      response.end("data: <html>\n\n");
    });

    await expect(collect()).rejects.toMatchObject({ code: "invalid_answer" });
  });

  it("says which server does not answer", async () => {
    setDeployedURLs({ backend: "http://127.0.0.1:1", inference: "http://127.0.0.1:1" });

    const error = await collect().catch((caught: unknown) => caught);

    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).isUnreachable).toBe(true);
    expect((error as ApiError).message).toContain("inference server at http://127.0.0.1:1 ");
  });

  it("ends with what it has when it is stopped, and the server sees the connection close", async () => {
    let hasLeft: Promise<unknown> = Promise.resolve();
    await serve(async (_request, response) => {
      hasLeft = once(response, "close");
      begin(response);
      await send(response, text("one"));
      await send(response, text("two"));
    });
    const stop = new AbortController();
    const events: ChatEvent[] = [];

    for await (const event of streamChat(BODY, { signal: stop.signal })) {
      events.push(event);
      if (textOf(events) === "onetwo") stop.abort();
    }
    await hasLeft;

    expect(events.at(-1)).toMatchObject({
      type: "end",
      finishReason: "stopped",
      stats: { completionTokens: 2, isEstimated: true, promptTokens: null },
    });
  });

  it("lets go of the connection when the loop is left", async () => {
    let hasLeft: Promise<unknown> = Promise.resolve();
    await serve(async (_request, response) => {
      hasLeft = once(response, "close");
      begin(response);
      await send(response, text("one"));
    });

    for await (const event of streamChat(BODY)) if (event.type === "delta") break;

    await hasLeft;
  });
});
