import { once } from "node:events";
import { type ServerResponse } from "node:http";
import { describe, expect, it, vi } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { startServer, type Handler } from "@/testing/http-server";
import { ThreadStore } from "./thread-store";
import { newUserMessage } from "./transcript";

const BODY = { model: "talker", messages: [{ role: "user" as const, content: "Hello" }] };
const END = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`;

async function serve(handler: Handler): Promise<void> {
  setDeployedURLs({ backend: "http://127.0.0.1:1", inference: await startServer(handler) });
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "x-cache": "miss", "x-cache-reason": "cold" });
}

function piece(content: string): string {
  return `data: ${JSON.stringify({ model: "talker", choices: [{ index: 0, delta: { content } }] })}\n\n`;
}

describe("ThreadStore", () => {
  it("appends the answer, with what the cache did and how it ended", async () => {
    await serve((_, response) => {
      begin(response);
      response.end(piece("Hel") + piece("lo") + END);
    });
    const thread = new ThreadStore();
    const question = newUserMessage("Hello");
    thread.setMessages([question]);

    await thread.run(BODY);

    const [first, answer] = thread.getMessages();
    expect(first).toBe(question);
    expect(answer).toMatchObject({ role: "assistant", content: "Hello", model: "talker", finishReason: "stop" });
    expect(answer?.cache).toMatchObject({ outcome: "miss", reason: "cold" });
    expect(thread.getState()).toBe("idle");
  });

  it("tells of many tokens once a frame", async () => {
    await serve((_, response) => {
      begin(response);
      response.end(Array.from({ length: 500 }, () => piece("x")).join("") + END);
    });
    const thread = new ThreadStore();
    const listener = vi.fn();
    thread.subscribe(listener);

    await thread.run(BODY);

    expect(thread.getMessages().at(-1)?.content).toBe("x".repeat(500));
    expect(listener.mock.calls.length).toBeLessThan(50);
  });

  it("stops at the server too, and keeps what had come", async () => {
    let closed: Promise<unknown> = Promise.resolve();
    await serve((_, response) => {
      begin(response);
      response.write(piece("Once upon"));
      closed = once(response, "close");
    });
    const thread = new ThreadStore();
    const run = thread.run(BODY);
    await vi.waitFor(() => expect(thread.getMessages().at(-1)?.content).toBe("Once upon"));

    thread.stop();
    await run;
    await closed;

    expect(thread.getMessages().at(-1)).toMatchObject({ content: "Once upon", finishReason: "stopped" });
    expect(thread.getState()).toBe("idle");
  });

  it("tells in the message what went wrong", async () => {
    await serve((_, response) => {
      response.writeHead(429, { "content-type": "application/json", "retry-after": "3", "x-request-id": "abc" });
      response.end(JSON.stringify({ error: { message: "256 requests wait.", type: "rate_limit", code: "queue_full" } }));
    });
    const thread = new ThreadStore();

    await thread.run(BODY);

    expect(thread.getMessages().at(-1)).toMatchObject({
      error: "Queue is full: 256 requests wait. Try again in 3 s.",
      requestId: "abc",
    });
  });

  it("lets another conversation be, when it is opened while an answer runs", async () => {
    await serve((_, response) => {
      begin(response);
      response.write(piece("Once"));
    });
    const thread = new ThreadStore();
    const run = thread.run(BODY);
    await vi.waitFor(() => expect(thread.getMessages().at(-1)?.content).toBe("Once"));
    const other = [newUserMessage("Another")];

    thread.setMessages(other);
    await run;

    expect(thread.getMessages()).toBe(other);
  });
});
