/** The texts of a row that people read and write, with what they are; whatever else it holds stays as it is. */

export type RowContent = Record<string, unknown>;

export interface RowText {
  /** Where it stands: `["text"]`, or `["messages", 2, "content"]`. */
  path: readonly (string | number)[];
  /** "user", "prompt", and so on. */
  label: string;
  text: string;
  /** False for what is no plain text and is shown as JSON. */
  isPlain: boolean;
}

const TEXT_KEYS = ["prompt", "completion", "text"];

export function textsOf(row: RowContent): RowText[] {
  const { messages } = row;
  if (Array.isArray(messages)) return messages.map(messageText);
  return TEXT_KEYS.filter((key) => key in row).map((key) => textAt([key], key, row[key]));
}

function messageText(message: unknown, index: number): RowText {
  if (!isRecord(message)) return textAt(["messages", index], `message ${index + 1}`, message);
  const label = typeof message.role === "string" ? message.role : `message ${index + 1}`;
  if (typeof message.content === "string") return textAt(["messages", index, "content"], label, message.content);
  const { role: _role, ...rest } = message;
  return textAt(["messages", index], label, rest);
}

function textAt(path: RowText["path"], label: string, value: unknown): RowText {
  const isPlain = typeof value === "string";
  return { path, label, text: isPlain ? value : JSON.stringify(value, null, 2), isPlain };
}

/** Keys beside the texts, such as `tools`. */
export function otherKeys(row: RowContent): string[] {
  const shown = Array.isArray(row.messages) ? ["messages"] : TEXT_KEYS;
  return Object.keys(row).filter((key) => !shown.includes(key));
}

/** A copy of the row with another text at `path`. */
export function withText(row: RowContent, path: RowText["path"], text: string): RowContent {
  const copy = structuredClone(row);
  const [last, ...way] = [...path].reverse();
  let place = copy as Record<string | number, unknown>;
  for (const step of way.reverse()) place = place[step] as Record<string | number, unknown>;
  place[last as string | number] = text;
  return copy;
}

/** A row of the same shape with nothing in it, to begin a new one. */
export function emptyLike(row: RowContent | null): RowContent {
  if (!row || Array.isArray(row.messages)) {
    return { messages: ["user", "assistant"].map((role) => ({ role, content: "" })) };
  }
  return "text" in row ? { text: "" } : { prompt: "", completion: "" };
}

/** The row that JSON text is, or why it is none. */
export function parseRow(json: string): { row: RowContent } | { refusal: string } {
  try {
    const row: unknown = JSON.parse(json);
    return isRecord(row) ? { row } : { refusal: 'A row is a JSON object, such as {"text": "…"}.' };
  } catch (error) {
    return { refusal: error instanceof Error ? error.message : String(error) };
  }
}

function isRecord(value: unknown): value is RowContent {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
