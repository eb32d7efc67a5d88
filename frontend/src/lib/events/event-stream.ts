/**
 * The tab's one connection to the backend's event stream. Browsers open six connections to a server: a stream a component
 * would leave none for requests. It resumes after the last event it saw, and lets go of the connection in a hidden tab.
 */
import { EventSourceParserStream, type EventSourceMessage } from "eventsource-parser/stream";
import { authHeaders, serviceURL } from "@/lib/api/endpoints";
import { parseRetryAfter } from "@/lib/api/errors";
import { parseMessage, type StreamMessage } from "@/lib/events/hub-event";

/**
 * live: connected. reconnecting: lost a moment ago. polling: lost for longer, so pages ask at intervals. paused: the tab is
 * hidden. connecting: has not been live yet.
 */
export type StreamStatus = "connecting" | "live" | "reconnecting" | "polling" | "paused";

export interface EventStreamOptions {
  onMessage: (message: StreamMessage) => void;
  onStatus: (status: StreamStatus) => void;
  /** Time after which a hidden tab lets go. */
  hiddenMs?: number;
  /** Time without a byte after which the connection counts as dead; the server sends a comment every 15 s. */
  silenceMs?: number;
  /** Pauses between attempts; the last one is repeated. */
  pausesMs?: readonly number[];
}

const POLLING_AFTER_FAILURES = 3;

export class EventStream {
  private readonly onMessage: (message: StreamMessage) => void;
  private readonly onStatus: (status: StreamStatus) => void;
  private readonly hiddenMs: number;
  private readonly silenceMs: number;
  private readonly pausesMs: readonly number[];
  private status: StreamStatus = "connecting";
  private lastEventId: string | null = null;
  private numFailures = 0;
  private connection: AbortController | null = null;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EventStreamOptions) {
    this.onMessage = options.onMessage;
    this.onStatus = options.onStatus;
    this.hiddenMs = options.hiddenMs ?? 60_000;
    this.silenceMs = options.silenceMs ?? 45_000;
    this.pausesMs = options.pausesMs ?? [500, 1_000, 2_000, 5_000];
  }

  start(): void {
    document.addEventListener("visibilitychange", this.onVisibility);
    if (document.visibilityState === "hidden") this.onVisibility();
    void this.connect();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.onVisibility);
    clearTimeout(this.hiddenTimer);
    this.disconnect();
  }

  /** Tries at once, for a "Retry" button or after Settings changed the address. */
  reconnect(): void {
    this.disconnect();
    void this.connect();
  }

  private readonly onVisibility = (): void => {
    clearTimeout(this.hiddenTimer);
    if (document.visibilityState === "hidden") {
      this.hiddenTimer = setTimeout(() => {
        this.disconnect();
        this.tell("paused");
      }, this.hiddenMs);
    } else if (!this.connection && this.status === "paused") {
      this.tell("reconnecting");
      void this.connect();
    }
  };

  private disconnect(): void {
    clearTimeout(this.retryTimer);
    this.connection?.abort();
    this.connection = null;
  }

  private async connect(): Promise<void> {
    const connection = new AbortController();
    this.connection = connection;
    let retryAfterMs = 0;
    try {
      retryAfterMs = await this.read(connection);
    } catch {
      // Whatever ended it, the next attempt is the same; the status tells people.
    }
    if (this.connection !== connection) return;
    connection.abort();
    this.numFailures += 1;
    this.tell(this.numFailures >= POLLING_AFTER_FAILURES ? "polling" : "reconnecting");
    const pause = this.pausesMs[Math.min(this.numFailures, this.pausesMs.length) - 1] ?? 5_000;
    this.retryTimer = setTimeout(() => void this.connect(), Math.max(pause, retryAfterMs));
  }

  /** Until the stream ends. The pause that a server that refuses asks for. */
  private async read(connection: AbortController): Promise<number> {
    const headers: Record<string, string> = { accept: "text/event-stream", ...authHeaders() };
    if (this.lastEventId !== null) headers["last-event-id"] = this.lastEventId;
    const response = await fetch(`${serviceURL("backend")}/api/v1/events`, {
      headers,
      cache: "no-store",
      signal: connection.signal,
    });
    if (!response.ok || !response.body) return (parseRetryAfter(response.headers.get("retry-after")) ?? 0) * 1_000;
    this.numFailures = 0;
    this.tell("live");
    const reader = response.body
      .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
      .pipeThrough(this.watchSilence(connection))
      .pipeThrough(new EventSourceParserStream())
      .getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.connection !== connection) return 0;
      this.receive(value);
    }
  }

  /** A network that dropped us says nothing; a server that lives says something every 15 s. */
  private watchSilence(connection: AbortController): TransformStream<string, string> {
    let timer = setTimeout(() => connection.abort(), this.silenceMs);
    connection.signal.addEventListener("abort", () => clearTimeout(timer));
    return new TransformStream({
      transform: (text, controller) => {
        clearTimeout(timer);
        timer = setTimeout(() => connection.abort(), this.silenceMs);
        controller.enqueue(text);
      },
    });
  }

  private receive(message: EventSourceMessage): void {
    if (message.id) this.lastEventId = message.id;
    const parsed = parseMessage(message);
    if (parsed) this.onMessage(parsed);
  }

  private tell(status: StreamStatus): void {
    if (status === this.status) return;
    this.status = status;
    this.onStatus(status);
  }
}
