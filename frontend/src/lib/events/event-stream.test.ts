import { type ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { EventStream, type EventStreamOptions, type StreamStatus } from "@/lib/events/event-stream";
import { type StreamMessage } from "@/lib/events/hub-event";
import { startServer } from "@/testing/http-server";

type Answer = (response: ServerResponse, number: number) => void;

interface Watched {
  stream: EventStream;
  messages: StreamMessage[];
  statuses: StreamStatus[];
  /** The Last-Event-ID of each connection. */
  resumedAfter: (string | undefined)[];
}

async function watch(answer: Answer, options: Partial<EventStreamOptions> = {}): Promise<Watched> {
  const resumedAfter: (string | undefined)[] = [];
  const url = await startServer((request, response) => {
    expect(request.url).toBe("/api/v1/events");
    resumedAfter.push(request.headers["last-event-id"] as string | undefined);
    answer(response, resumedAfter.length);
  });
  setDeployedURLs({ backend: url, inference: url });
  const messages: StreamMessage[] = [];
  const statuses: StreamStatus[] = [];
  const stream = new EventStream({
    onMessage: (message) => messages.push(message),
    onStatus: (status) => statuses.push(status),
    pausesMs: [10],
    ...options,
  });
  onTestFinished(() => stream.stop());
  stream.start();
  return { stream, messages, statuses, resumedAfter };
}

function begin(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { "content-type": "text/event-stream" });
}

function event(id: number, kind: string, payload: object): string {
  const data = { subject_id: "s", payload, created_at: "2026-01-01T00:00:00Z" };
  return `id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

const HELLO = 'id: 4\nevent: hello\ndata: {"last_event_id": 4}\n\n';

function setVisibility(state: DocumentVisibilityState): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
  document.dispatchEvent(new Event("visibilitychange"));
}

beforeEach(() => void vi.spyOn(document, "visibilityState", "get").mockReturnValue("visible"));
afterEach(() => vi.restoreAllMocks());

describe("EventStream", () => {
  it("tells events in order, and that it is live", async () => {
    const { messages, statuses } = await watch((response) => {
      begin(response).write(HELLO + event(5, "task", { id: "t" }) + ": ping\n\n" + event(6, "unheard-of", {}));
    });

    await vi.waitFor(() => expect(messages).toHaveLength(2));

    expect(statuses).toEqual(["live"]);
    expect(messages).toEqual([
      { type: "position", isReset: false },
      {
        type: "event",
        event: { kind: "task", subjectId: "s", payload: { id: "t" }, createdAt: "2026-01-01T00:00:00Z" },
      },
    ]);
  });

  it("resumes after the last event it saw", async () => {
    const { statuses, resumedAfter } = await watch((response, number) => {
      begin(response).write(number === 1 ? HELLO + event(7, "task", { id: "t" }) : event(8, "task", { id: "t" }));
      if (number === 1) setTimeout(() => response.destroy(), 30);
    });

    await vi.waitFor(() => expect(resumedAfter).toEqual([undefined, "7"]));
    await vi.waitFor(() => expect(statuses).toEqual(["live", "reconnecting", "live"]));
  });

  it("lets pages poll once it has failed three times, and goes on trying", async () => {
    let isUp = false;
    const { statuses } = await watch((response) => {
      if (isUp) begin(response).write(HELLO);
      else response.writeHead(503).end();
    });
    await vi.waitFor(() => expect(statuses).toEqual(["reconnecting", "polling"]));

    isUp = true;

    await vi.waitFor(() => expect(statuses.at(-1)).toBe("live"));
  });

  it("waits as long as a server that refuses asks for", async () => {
    const times: number[] = [];
    await watch((response, number) => {
      times.push(performance.now());
      if (number === 1) response.writeHead(503, { "retry-after": "0.3" }).end();
      else begin(response).write(HELLO);
    });

    await vi.waitFor(() => expect(times).toHaveLength(2));

    expect((times[1] as number) - (times[0] as number)).toBeGreaterThan(290);
  });

  it("gives a connection up on which nothing comes", async () => {
    const { resumedAfter } = await watch((response) => begin(response).write(HELLO), { silenceMs: 60 });

    await vi.waitFor(() => expect(resumedAfter.slice(0, 2)).toEqual([undefined, "4"]));
  });

  it("lets go in a hidden tab, and comes back with it", async () => {
    const { statuses, resumedAfter } = await watch((response) => begin(response).write(HELLO), { hiddenMs: 20 });
    await vi.waitFor(() => expect(statuses).toEqual(["live"]));

    setVisibility("hidden");
    await vi.waitFor(() => expect(statuses.at(-1)).toBe("paused"));
    setVisibility("visible");

    await vi.waitFor(() => expect(resumedAfter).toEqual([undefined, "4"]));
    await vi.waitFor(() => expect(statuses).toEqual(["live", "paused", "reconnecting", "live"]));
  });

  it("keeps the connection of a tab that was hidden for a moment", async () => {
    const { statuses, resumedAfter } = await watch((response) => begin(response).write(HELLO), { hiddenMs: 200 });
    await vi.waitFor(() => expect(statuses).toEqual(["live"]));

    setVisibility("hidden");
    setVisibility("visible");
    await new Promise((resolve) => setTimeout(resolve, 300));

    expect([statuses, resumedAfter]).toEqual([["live"], [undefined]]);
  });

  it("connects at once when it is asked to", async () => {
    const { stream, statuses, resumedAfter } = await watch(
      (response, number) => (number === 1 ? response.writeHead(500).end() : begin(response).write(HELLO)),
      { pausesMs: [60_000] },
    );
    await vi.waitFor(() => expect(statuses).toEqual(["reconnecting"]));

    stream.reconnect();

    await vi.waitFor(() => expect(statuses.at(-1)).toBe("live"));
    expect(resumedAfter).toHaveLength(2);
  });

  it("ends with stop", async () => {
    const { stream, statuses, resumedAfter } = await watch((response) => begin(response).write(HELLO));
    await vi.waitFor(() => expect(statuses).toEqual(["live"]));

    stream.stop();
    await new Promise((resolve) => setTimeout(resolve, 50));

    expect([statuses, resumedAfter.length]).toEqual([["live"], 1]);
  });
});
