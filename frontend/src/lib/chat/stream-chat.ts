/**
 * A chat completion as it is generated. Stopping is aborting: the server sees the connection close and ends the request.
 */
import { EventSourceParserStream } from "eventsource-parser/stream";
import { authHeaders, newRequestId, serviceURL } from "@/lib/api/endpoints";
import { ApiError, connectionLostError, errorFromResponse, isAbort, openAIError, unreachableError } from "@/lib/api/errors";
import { ChatClock } from "@/lib/chat/chat-clock";
import {
  readCacheReport,
  type ChatEvent,
  type ChatRequestBody,
  type FinishReason,
  type ToolCallDelta,
  type Usage,
} from "@/lib/chat/chat-events";

export interface StreamChatOptions {
  signal?: AbortSignal;
  now?: () => number;
}

interface WireChunk {
  model?: string;
  choices?: {
    index: number;
    delta?: {
      content?: string | null;
      reasoning_content?: string | null;
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[];
    };
    finish_reason?: FinishReason | null;
  }[];
  usage?: Usage | null;
  error?: Record<string, unknown>;
}

/**
 * `start` once the server has accepted the request, then `delta`s, then `end`. An abort is an `end` with what there is until then;
 * all else that goes wrong is thrown as an ApiError. Who leaves the loop early aborts too.
 */
export async function* streamChat(
  body: ChatRequestBody,
  options: StreamChatOptions = {},
): AsyncGenerator<ChatEvent, void, void> {
  const clock = new ChatClock(options.now);
  const connection = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, connection.signal]) : connection.signal;
  const told: Told = { model: null, usage: null, finishReason: null };
  try {
    yield* readAnswer(body, signal, clock, told);
  } catch (error) {
    if (!isAbort(error) || !options.signal?.aborted) throw error;
    told.finishReason = "stopped";
  } finally {
    connection.abort();
  }
  yield { type: "end", model: told.model, finishReason: told.finishReason, stats: clock.stats(told.usage) };
}

/** What the chunks say beside the text. */
interface Told {
  model: string | null;
  usage: Usage | null;
  finishReason: FinishReason | null;
}

async function* readAnswer(
  body: ChatRequestBody,
  signal: AbortSignal,
  clock: ChatClock,
  told: Told,
): AsyncGenerator<ChatEvent, void, void> {
  const sentId = newRequestId();
  const response = await send(body, sentId, signal);
  const requestId = response.headers.get("x-request-id") ?? sentId;
  yield startEvent(response.headers, requestId);
  for await (const chunk of readChunks(response, requestId)) {
    told.model = chunk.model ?? told.model;
    told.usage = chunk.usage ?? told.usage;
    for (const choice of chunk.choices ?? []) {
      told.finishReason = choice.finish_reason ?? told.finishReason;
      const delta = toDelta(choice);
      if (!delta) continue;
      clock.mark();
      yield delta;
    }
  }
}

async function send(body: ChatRequestBody, requestId: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${serviceURL("inference")}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": requestId, ...authHeaders() },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
  } catch (error) {
    throw isAbort(error) ? error : unreachableError("inference", requestId);
  }
  if (!response.ok || !response.body) throw await errorFromResponse("inference", response);
  return response;
}

/** Ends at `[DONE]`; a stream that ends without it has broken off. */
async function* readChunks(response: Response, requestId: string): AsyncGenerator<WireChunk, void, void> {
  const reader = (response.body as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw isAbort(error) ? error : connectionLostError("inference", requestId);
    });
    if (done) throw connectionLostError("inference", requestId);
    if (value.data === "[DONE]") return;
    const chunk = parseChunk(value.data, response, requestId);
    if (chunk.error) {
      throw new ApiError({
        service: "inference",
        status: response.status,
        requestId,
        ...openAIError(chunk.error),
      });
    }
    yield chunk;
  }
}

function parseChunk(data: string, response: Response, requestId: string): WireChunk {
  try {
    return JSON.parse(data) as WireChunk;
  } catch {
    const message = "The inference server sent something that is not JSON. Is it the right address?";
    throw new ApiError({
      service: "inference",
      status: response.status,
      code: "invalid_answer",
      message,
      requestId,
    });
  }
}

function startEvent(headers: Headers, requestId: string): ChatEvent {
  return {
    type: "start",
    requestId,
    cache: readCacheReport(headers),
    modelFallback: headers.get("x-model-fallback"),
    schemaLeftOut: headers.get("x-schema-left-out"),
  };
}

/** Null for a piece without anything to show, such as the first one that names the role. */
function toDelta({ index, delta }: NonNullable<WireChunk["choices"]>[number]): ChatEvent | null {
  const content = delta?.content ?? "";
  const reasoning = delta?.reasoning_content ?? "";
  const toolCalls: ToolCallDelta[] = (delta?.tool_calls ?? []).map((call) => ({
    index: call.index,
    id: call.id,
    name: call.function?.name,
    arguments: call.function?.arguments,
  }));
  if (!content && !reasoning && toolCalls.length === 0) return null;
  return { type: "delta", choice: index, content, reasoning, toolCalls };
}
