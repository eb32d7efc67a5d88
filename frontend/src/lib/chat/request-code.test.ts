// @vitest-environment node
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { toCurl, toPython } from "@/lib/chat/request-code";

const BODY = {
  model: "org/talker",
  messages: [
    { role: "system" as const, content: 'It\'s "quoted"\nand $HOME `here` \\ \u2028.' },
    { role: "user" as const, content: "Grüße 🦊" },
  ],
  temperature: 0,
  top_k: 40,
  chat_template_kwargs: { enable_thinking: false },
  seed: null,
  max_tokens: undefined,
};
const OPTIONS = { baseURL: "http://localhost:8080", body: BODY, needsKey: false };

/** The words that a shell makes of it. */
function parseShell(command: string): string[] {
  const script = `curl() { for word in "$@"; do printf '%s\\0' "$word"; done; }; ${command}`;
  return execFileSync("sh", ["-c", script]).toString().split("\0").slice(0, -1);
}

it("a shell reads from the command what was sent", () => {
  const words = parseShell(toCurl(OPTIONS));

  expect(words.slice(0, 4)).toEqual([
    "-N",
    "http://localhost:8080/v1/chat/completions",
    "-H",
    "Content-Type: application/json",
  ]);
  expect(JSON.parse(words.at(-1) as string)).toEqual(JSON.parse(JSON.stringify({ ...BODY, stream: true })));
});

it("the key is read from the environment, never written down", () => {
  expect(toCurl({ ...OPTIONS, needsKey: true })).toContain('-H "Authorization: Bearer $MLX_API_KEY"');
  expect(toPython({ ...OPTIONS, needsKey: true })).toContain('api_key=os.environ["MLX_API_KEY"]');
  expect(toPython(OPTIONS)).toContain('api_key="not-needed"');
});

it("Python reads from the program what was sent, with the server's own parameters apart", () => {
  const program = toPython(OPTIONS);
  const call = program.slice(program.indexOf("client.chat.completions.create(") + 30, program.indexOf("\nfor chunk"));
  const script = `import json\nprint(json.dumps((lambda **given: given)${call.replace("create", "")}))`;

  const given = JSON.parse(execFileSync("python3", ["-c", script]).toString()) as Record<string, unknown>;

  expect(given).toEqual({
    model: "org/talker",
    messages: BODY.messages,
    temperature: 0,
    seed: null,
    extra_body: { top_k: 40, chat_template_kwargs: { enable_thinking: false } },
    stream: true,
  });
});
