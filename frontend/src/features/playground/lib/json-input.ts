/** JSON that a person types: tools and schemas, each problem with the place that it is at. */
import { type Inference } from "@/lib/api/client";
import { findJSONProblem } from "./json-place";

export type ToolDefinition = Inference<"FunctionTool">;
export type JSONObject = Record<string, unknown>;

/** Either a value or what is wrong; both null for empty text. */
export interface Parsed<Value> {
  value: Value | null;
  problem: string | null;
}

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** Tools as the API takes them; one tool alone may stand without brackets. */
export function parseTools(text: string): Parsed<ToolDefinition[]> {
  if (!text.trim()) return { value: null, problem: null };
  const json = parseJSON(text);
  if (json.problem !== null) return { value: null, problem: json.problem };
  const tools: unknown[] = Array.isArray(json.value) ? json.value : [json.value];
  const names = new Set<string>();
  for (const [index, tool] of tools.entries()) {
    const problem = checkTool(tool, `tools[${index}]`, names);
    if (problem) return { value: null, problem };
  }
  return { value: tools as ToolDefinition[], problem: null };
}

function checkTool(tool: unknown, place: string, names: Set<string>): string | null {
  if (!isObject(tool)) return `${place} must be an object.`;
  if (tool.type !== "function") return `${place}.type must be "function".`;
  if (!isObject(tool.function)) return `${place}.function must be an object with a name.`;
  const { name, description, parameters } = tool.function;
  if (typeof name !== "string" || !NAME.test(name)) {
    return `${place}.function.name must be 1 to 64 letters, digits, "_" or "-".`;
  }
  if (names.has(name)) return `${place}.function.name repeats "${name}".`;
  names.add(name);
  if (description != null && typeof description !== "string") return `${place}.function.description must be text.`;
  if (parameters != null && !isObject(parameters)) return `${place}.function.parameters must be a JSON schema object.`;
  return null;
}

/** A schema for the answer. An empty field is a problem too: the format asks for one. */
export function parseSchema(text: string): Parsed<JSONObject> {
  if (!text.trim()) return { value: null, problem: "Enter a schema." };
  const { value, problem } = parseJSON(text);
  if (problem !== null) return { value: null, problem };
  return isObject(value) ? { value, problem: null } : { value: null, problem: "A schema is an object: { … }." };
}

function parseJSON(text: string): { value: unknown; problem: string | null } {
  try {
    return { value: JSON.parse(text), problem: null };
  } catch {
    const place = findJSONProblem(text);
    return { value: null, problem: place ? `Not JSON: line ${place.line}, column ${place.column}.` : "Not JSON." };
  }
}

/** The same with two spaces a level, or the text itself when it is not JSON. */
export function formatJSON(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function isObject(value: unknown): value is JSONObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const EXAMPLE_TOOLS = JSON.stringify(
  [
    {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather at a place now.",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      },
    },
  ],
  null,
  2,
);

export const EXAMPLE_SCHEMA = JSON.stringify(
  {
    type: "object",
    properties: { answer: { type: "string" }, confidence: { type: "number", minimum: 0, maximum: 1 } },
    required: ["answer", "confidence"],
    additionalProperties: false,
  },
  null,
  2,
);
