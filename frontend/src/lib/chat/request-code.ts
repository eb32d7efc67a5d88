/** The same request as a command or a program, to take elsewhere. */
import type { ChatRequestBody } from "@/lib/chat/chat-events";

export interface RequestCodeOptions {
  /** Of the inference server, without a slash at its end. */
  baseURL: string;
  body: ChatRequestBody;
  /** The key itself never appears: the code reads it from MLX_API_KEY. */
  needsKey: boolean;
}

export function toCurl({ baseURL, body, needsKey }: RequestCodeOptions): string {
  const lines = [
    `curl -N ${quoteShell(`${baseURL}/v1/chat/completions`)}`,
    `-H "Content-Type: application/json"`,
    ...(needsKey ? [`-H "Authorization: Bearer $MLX_API_KEY"`] : []),
    `-d ${quoteShell(JSON.stringify({ ...body, stream: true }, null, 2))}`,
  ];
  return lines.join(" \\\n  ");
}

/** Parameters that the client has names for; the server's own go into extra_body. */
const CLIENT_PARAMETERS = new Set([
  "model",
  "messages",
  "temperature",
  "top_p",
  "n",
  "stop",
  "seed",
  "max_tokens",
  "max_completion_tokens",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "logprobs",
  "top_logprobs",
  "response_format",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "reasoning_effort",
  "user",
  "metadata",
]);

export function toPython({ baseURL, body, needsKey }: RequestCodeOptions): string {
  const entries = Object.entries(body).filter(([, value]) => value !== undefined);
  const known = entries.filter(([name]) => CLIENT_PARAMETERS.has(name));
  const extra = entries.filter(([name]) => !CLIENT_PARAMETERS.has(name));
  const parameters = known.map(([name, value]) => `    ${name}=${toPythonLiteral(value, 1)},`);
  if (extra.length) parameters.push(`    extra_body=${toPythonLiteral(Object.fromEntries(extra), 1)},`);
  return [
    ...(needsKey ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${quotePython(`${baseURL}/v1`)}, api_key=${needsKey ? 'os.environ["MLX_API_KEY"]' : '"not-needed"'})`,
    "stream = client.chat.completions.create(",
    ...parameters,
    "    stream=True,",
    ")",
    "for chunk in stream:",
    "    for choice in chunk.choices:",
    '        print(choice.delta.content or "", end="", flush=True)',
    "",
  ].join("\n");
}

function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** JSON's strings are Python's, but for the line separators that both allow unescaped. */
function quotePython(text: string): string {
  return JSON.stringify(text);
}

function toPythonLiteral(value: unknown, depth: number): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quotePython(value);
  if (typeof value !== "object") return String(value);
  const inner = "    ".repeat(depth + 1);
  const outer = "    ".repeat(depth);
  const items = Array.isArray(value)
    ? value.map((item) => toPythonLiteral(item, depth + 1))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([name, item]) => `${quotePython(name)}: ${toPythonLiteral(item, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (items.length === 0) return `${open}${close}`;
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length <= 88 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${inner}${item},`).join("\n")}\n${outer}${close}`;
}
