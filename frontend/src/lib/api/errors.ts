/** Every failure of a request, in one shape: what went wrong, where, and what to do. */
import { SERVICE_NAMES, serviceURL, type Service } from "@/lib/api/endpoints";

export interface FieldProblem {
  field: string | null;
  message: string;
}

export interface ApiErrorFacts {
  service: Service;
  /** Null when no answer came. */
  status: number | null;
  code: string;
  message: string;
  fields?: FieldProblem[];
  requestId?: string | null;
  retryAfterSeconds?: number | null;
}

/** `code` is stable; `unreachable`, `invalid_answer` and `connection_lost` are the dashboard's own, all others the service's. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly service: Service;
  readonly status: number | null;
  readonly code: string;
  readonly fields: FieldProblem[];
  readonly requestId: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(facts: ApiErrorFacts) {
    super(facts.message);
    this.service = facts.service;
    this.status = facts.status;
    this.code = facts.code;
    this.fields = facts.fields ?? [];
    this.requestId = facts.requestId ?? null;
    this.retryAfterSeconds = facts.retryAfterSeconds ?? null;
  }

  /** The first field that the service objects to, such as `config.lora_rank`. */
  get field(): string | null {
    return this.fields[0]?.field ?? null;
  }

  get isUnreachable(): boolean {
    return this.code === "unreachable";
  }
}

export function isAbort(error: unknown): boolean {
  // A DOMException is not an Error everywhere.
  return typeof error === "object" && error !== null && "name" in error && error.name === "AbortError";
}

/** No answer at all: says which service, at which address, and how to get it back. */
export function unreachableError(service: Service, requestId?: string): ApiError {
  const name = SERVICE_NAMES[service];
  const message =
    `The ${name} at ${serviceURL(service)} does not answer. ` +
    `Start it with \`make start\`, or correct its address in Settings.`;
  return new ApiError({ service, status: null, code: "unreachable", message, requestId });
}

/** The connection broke in the middle of an answer. */
export function connectionLostError(service: Service, requestId?: string | null): ApiError {
  const message = `The connection to the ${SERVICE_NAMES[service]} at ${serviceURL(service)} was lost before the answer was complete.`;
  return new ApiError({ service, status: null, code: "connection_lost", message, requestId });
}

/** The error that a response with a status of 400 or more tells. Reads its body. */
export async function errorFromResponse(service: Service, response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  return errorFromBody(service, response.status, response.headers, parseJSON(text));
}

/** From problem+json (backend), OpenAI's shape (inference), or, when it is neither, from the status alone. */
export function errorFromBody(service: Service, status: number, headers: Headers, body: unknown): ApiError {
  const shared = {
    service,
    status,
    requestId: headers.get("x-request-id"),
    retryAfterSeconds: parseRetryAfter(headers.get("retry-after")),
  };
  if (isRecord(body) && typeof body.detail === "string" && typeof body.code === "string") {
    const fields = Array.isArray(body.errors) ? body.errors.filter(isFieldProblem) : [];
    return new ApiError({ ...shared, code: body.code, message: body.detail, fields });
  }
  if (isRecord(body) && isRecord(body.error) && typeof body.error.message === "string") {
    return new ApiError({ ...shared, ...openAIError(body.error) });
  }
  const message = `The ${SERVICE_NAMES[service]} answered with status ${status} and no explanation. Its log may tell more.`;
  return new ApiError({ ...shared, code: "invalid_answer", message });
}

/** What OpenAI's shape says; also used for an error in the middle of a stream. */
export function openAIError(error: Record<string, unknown>): Pick<ApiErrorFacts, "code" | "message" | "fields"> {
  const message = String(error.message);
  const code = typeof error.code === "string" ? error.code : typeof error.type === "string" ? error.type : "internal_error";
  return { code, message, fields: typeof error.param === "string" ? [{ field: error.param, message }] : [] };
}

/** Seconds from now, of a number or an HTTP date; null when there is none. */
export function parseRetryAfter(value: string | null, now: number = Date.now()): number | null {
  if (!value) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, (date - now) / 1000);
}

const TITLES: Record<string, string> = {
  unreachable: "No answer",
  connection_lost: "Connection lost",
  invalid_input: "Please check your input",
  invalid_request: "Please check your input",
  invalid_api_key: "API key needed",
  unauthorized: "API key needed",
  not_found: "Not found",
  model_not_found: "Model not found",
  conflict: "Not possible now",
  in_use: "In use",
  wrong_state: "Not possible now",
  gated_model: "Access needed",
  storage_full: "Disk is full",
  queue_full: "Queue is full",
  memory_budget_exceeded: "Not enough memory",
  context_length_exceeded: "Too long for the model",
  upstream_down: "Hub does not answer",
  shutting_down: "Shutting down",
};

const NEXT_STEPS: Record<string, string> = {
  invalid_api_key: "Enter the API key in Settings.",
  unauthorized: "Enter the API key in Settings.",
  storage_full: "Delete models or datasets that you no longer need, then try again.",
  memory_budget_exceeded: "Unload a model, or choose a smaller one.",
  context_length_exceeded: "Shorten the conversation, or start a new one.",
  gated_model: "Accept its terms on the hub and set HF_TOKEN.",
};

export interface ErrorDescription {
  title: string;
  message: string;
  nextStep: string | null;
  requestId: string | null;
}

/** What a person is shown of any error. */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof ApiError)) {
    const message = error instanceof Error && error.message ? error.message : String(error);
    return { title: "Something went wrong", message, nextStep: null, requestId: null };
  }
  const retry = error.retryAfterSeconds === null ? null : `Try again in ${Math.max(1, Math.ceil(error.retryAfterSeconds))} s.`;
  const title = TITLES[error.code] ?? (error.status !== null && error.status >= 500 ? "The server failed" : "Not done");
  return {
    title,
    message: error.message,
    nextStep: NEXT_STEPS[error.code] ?? retry,
    requestId: error.requestId,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFieldProblem(value: unknown): value is FieldProblem {
  return isRecord(value) && typeof value.message === "string";
}

function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
