/** What a request may set beside its messages. Null everywhere: the server's default. */
import { type ChatRequestBody } from "@/lib/chat/chat-events";
import { parseSchema, parseTools } from "./json-input";

export const NUMBER_PARAMETERS = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "max_tokens",
  "repetition_penalty",
  "presence_penalty",
  "frequency_penalty",
  "seed",
] as const;
export type NumberParameter = (typeof NUMBER_PARAMETERS)[number];

export type AnswerFormat = "text" | "json_object" | "json_schema";
export type ToolChoice = "auto" | "required" | "none";

export type Parameters = Record<NumberParameter, number | null> & {
  stop: string[];
  /** Text as typed; what does not parse is not sent. */
  tools: string;
  toolChoice: ToolChoice;
  format: AnswerFormat;
  schema: string;
  reasoningEffort: "none" | "low" | "medium" | "high" | null;
  ignoresEnd: boolean;
};

export const DEFAULT_PARAMETERS: Parameters = {
  temperature: null,
  top_p: null,
  top_k: null,
  min_p: null,
  max_tokens: null,
  repetition_penalty: null,
  presence_penalty: null,
  frequency_penalty: null,
  seed: null,
  stop: [],
  tools: "",
  toolChoice: "auto",
  format: "text",
  schema: "",
  reasoningEffort: null,
  ignoresEnd: false,
};

export interface NumberLimits {
  label: string;
  hint: string;
  min: number;
  max: number;
  step: number;
  /** Where the slider rests while nothing is set, and its own end where the field's is out of reach. */
  rest: number;
  slideTo?: number;
  isInteger?: boolean;
}

/** Bounds as the server has them. */
export const LIMITS: Record<NumberParameter, NumberLimits> = {
  temperature: { label: "Temperature", hint: "0 always takes the likeliest token.", min: 0, max: 2, step: 0.05, rest: 1 },
  top_p: {
    label: "Top P",
    hint: "Keeps the likeliest tokens that together have this share.",
    min: 0,
    max: 1,
    step: 0.01,
    rest: 1,
  },
  top_k: {
    label: "Top K",
    hint: "Keeps this many tokens; 0 keeps all.",
    min: 0,
    max: 1_000_000,
    slideTo: 200,
    step: 1,
    rest: 0,
    isInteger: true,
  },
  min_p: {
    label: "Min P",
    hint: "Drops tokens less likely than this share of the likeliest.",
    min: 0,
    max: 1,
    step: 0.01,
    rest: 0,
  },
  max_tokens: {
    label: "Max tokens",
    hint: "Where an answer is cut off.",
    min: 1,
    max: 1_000_000,
    slideTo: 8192,
    step: 1,
    rest: 512,
    isInteger: true,
  },
  repetition_penalty: { label: "Repetition penalty", hint: "1 changes nothing.", min: 0.01, max: 2, step: 0.01, rest: 1 },
  presence_penalty: {
    label: "Presence penalty",
    hint: "Above 0: less of what has come up at all.",
    min: -2,
    max: 2,
    step: 0.05,
    rest: 0,
  },
  frequency_penalty: {
    label: "Frequency penalty",
    hint: "Above 0: less of what has come up often.",
    min: -2,
    max: 2,
    step: 0.05,
    rest: 0,
  },
  seed: {
    label: "Seed",
    hint: "The same seed gives the same answer.",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    step: 1,
    rest: 0,
    isInteger: true,
  },
};

export const MAX_STOPS = 4;
export const MAX_STOP_CHARACTERS = 256;

/** What is wrong with a number for this parameter; null when nothing is. */
export function checkNumber(name: NumberParameter, value: number): string | null {
  const { min, max, isInteger } = LIMITS[name];
  if (!Number.isFinite(value)) return "Enter a number.";
  if (isInteger && !Number.isInteger(value)) return "Enter a whole number.";
  if (value < min || value > max) return `From ${min} to ${max}.`;
  return null;
}

/** The first thing that keeps the request from being sent, in words; null when it can be sent. */
export function findProblem(parameters: Parameters): string | null {
  const tools = parseTools(parameters.tools);
  if (tools.problem) return `Tools: ${tools.problem}`;
  const schema = parameters.format === "json_schema" ? parseSchema(parameters.schema) : null;
  return schema?.problem ? `JSON schema: ${schema.problem}` : null;
}

/** The part of the request's body that these stand for. */
export function toWireParameters(parameters: Parameters): Partial<ChatRequestBody> {
  const numbers = NUMBER_PARAMETERS.flatMap((name) => (parameters[name] === null ? [] : [[name, parameters[name]] as const]));
  const tools = parseTools(parameters.tools).value ?? [];
  return {
    ...Object.fromEntries(numbers),
    ...(parameters.stop.length ? { stop: parameters.stop } : {}),
    ...(parameters.reasoningEffort ? { reasoning_effort: parameters.reasoningEffort } : {}),
    ...(parameters.ignoresEnd ? { ignore_eos: true } : {}),
    ...(tools.length ? { tools, tool_choice: parameters.toolChoice } : {}),
    ...toResponseFormat(parameters),
  };
}

function toResponseFormat({ format, schema }: Parameters): Partial<ChatRequestBody> {
  if (format === "json_object") return { response_format: { type: "json_object" } };
  const value = format === "json_schema" ? parseSchema(schema).value : null;
  return value ? { response_format: { type: "json_schema", json_schema: { name: "answer", schema: value } } } : {};
}

/** Whole parameters of what was stored, perhaps by an older dashboard; what makes no sense gets its default. */
export function readParameters(stored: unknown): Parameters {
  const given = typeof stored === "object" && stored !== null ? (stored as Record<string, unknown>) : {};
  const numbers = NUMBER_PARAMETERS.map((name) => {
    const value = given[name];
    return [name, typeof value === "number" && checkNumber(name, value) === null ? value : null] as const;
  });
  return {
    ...DEFAULT_PARAMETERS,
    ...(Object.fromEntries(numbers) as Record<NumberParameter, number | null>),
    stop: Array.isArray(given.stop) ? given.stop.filter((text) => typeof text === "string").slice(0, MAX_STOPS) : [],
    tools: typeof given.tools === "string" ? given.tools : "",
    schema: typeof given.schema === "string" ? given.schema : "",
    toolChoice: oneOf(given.toolChoice, ["auto", "required", "none"]) ?? "auto",
    format: oneOf(given.format, ["text", "json_object", "json_schema"]) ?? "text",
    reasoningEffort: oneOf(given.reasoningEffort, ["none", "low", "medium", "high"]),
    ignoresEnd: given.ignoresEnd === true,
  };
}

function oneOf<Value extends string>(value: unknown, allowed: readonly Value[]): Value | null {
  return allowed.find((one) => one === value) ?? null;
}

/** How many differ from the server's defaults. */
export function countChanged(parameters: Parameters): number {
  return (Object.keys(DEFAULT_PARAMETERS) as (keyof Parameters)[]).filter(
    (name) => JSON.stringify(parameters[name]) !== JSON.stringify(DEFAULT_PARAMETERS[name]),
  ).length;
}
