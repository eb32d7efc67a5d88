/** Files before they are sent: what they are by name and content, whether they can be rows, and the columns of a table. */
import { formatBytes } from "@/lib/format/bytes";

export type FileKind = "jsonl" | "table" | "text";

const KINDS: Record<string, FileKind> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "jsonl",
  csv: "table",
  tsv: "table",
  txt: "text",
  text: "text",
  md: "text",
};

/** For the file chooser. */
export const ACCEPTED = Object.keys(KINDS)
  .map((suffix) => `.${suffix}`)
  .join(",");

/** As in MLX_HUB_MAX_UPLOAD unless that says less; then the backend refuses, before it has read much. */
export const MAX_UPLOAD_BYTES = 10 * 2 ** 30;

export function kindOf(fileName: string): FileKind | null {
  const suffix = /\.([^.]+)$/.exec(fileName)?.[1]?.toLowerCase();
  return (suffix && KINDS[suffix]) || null;
}

/** Why the file cannot be uploaded, and what to do; null when it can. */
export function refusalOf(file: Pick<File, "name" | "size">): string | null {
  if (!kindOf(file.name)) {
    return `${file.name} is of no type that holds rows. Choose JSONL, JSON, CSV, TSV or plain text (.txt, .md).`;
  }
  if (file.size === 0) return `${file.name} is empty.`;
  if (file.size > MAX_UPLOAD_BYTES) {
    return `${file.name} has ${formatBytes(file.size)}; a dataset may have ${formatBytes(MAX_UPLOAD_BYTES)}. Split it first.`;
  }
  return null;
}

/** The name that the backend would give. */
export function nameOf(fileName: string): string {
  return (
    fileName
      .replace(/\.[^.]+$/, "")
      .trim()
      .slice(0, 200) || "dataset"
  );
}

/** What pasted text is. A first line with tabs, or commas and no sentence, above others alike is a table. */
export function guessKind(text: string): FileKind {
  const lines = text.trim().split("\n", 3);
  const first = lines[0] ?? "";
  if (/^\s*[[{]/.test(first)) return "jsonl";
  const delimiter = delimiterOf(first);
  const isTable = lines.length > 1 && first.includes(delimiter) && !/[.!?]\s*$/.test(first) && lines[1]?.includes(delimiter);
  return isTable ? "table" : "text";
}

/** Pasted text as a file, with the suffix that tells the backend what it is. */
export function fileOfText(text: string, kind: FileKind): File {
  return new File([text], `pasted.${kind === "table" ? "csv" : kind === "text" ? "txt" : "jsonl"}`, { type: "text/plain" });
}

function delimiterOf(line: string): string {
  return [",", ";", "\t"].reduce((best, each) => (line.split(each).length > line.split(best).length ? each : best));
}

const HEAD_BYTES = 64 * 1024;

/** Names of a table's columns: its first line, read as the backend reads it. */
export async function columnsOf(file: Blob): Promise<string[]> {
  const head = await file.slice(0, HEAD_BYTES).text();
  return parseHeader(head);
}

/** The first record of a table; a quoted name may hold the delimiter, line breaks and doubled quotes. */
export function parseHeader(head: string): string[] {
  const text = head.replace(/^\uFEFF/, "");
  const delimiter = delimiterOf(text.split(/\r?\n/, 1)[0] ?? "");
  const names: string[] = [];
  let name = "";
  let isQuoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index] as string;
    if (isQuoted) {
      if (char !== '"') name += char;
      else if (text[index + 1] === '"') name += text[(index += 1)];
      else isQuoted = false;
    } else if (char === '"' && name.trim() === "") {
      [isQuoted, name] = [true, ""];
    } else if (char === delimiter) {
      names.push(name.trim());
      name = "";
    } else if (char === "\n" || char === "\r") {
      break;
    } else {
      name += char;
    }
  }
  return [...names, name.trim()].filter(Boolean);
}

export const COLUMN_PARTS = ["prompt", "completion", "system", "text"] as const;
export type ColumnPart = (typeof COLUMN_PARTS)[number];
export type ColumnMap = Partial<Record<ColumnPart, string>>;

const USUAL_NAMES: Record<ColumnPart, readonly string[]> = {
  prompt: ["prompt", "question", "instruction", "input"],
  completion: ["completion", "answer", "response", "output"],
  system: ["system", "system_prompt"],
  text: ["text", "content"],
};

/** Which column is what, by its name. */
export function guessColumns(columns: readonly string[]): ColumnMap {
  const map: ColumnMap = {};
  for (const part of COLUMN_PARTS) {
    const usual = USUAL_NAMES[part].find((name) => columns.some((column) => column.toLowerCase() === name));
    const found = columns.find((column) => column.toLowerCase() === usual);
    if (found) map[part] = found;
  }
  // A pair of columns goes before a text beside it.
  if (map.prompt && map.completion) delete map.text;
  else if (map.text) return { text: map.text };
  return map;
}

/** What the map lacks to make rows; null when it is whole. */
export function columnsRefusal(map: ColumnMap): string | null {
  if (map.text)
    return map.prompt || map.completion || map.system ? "Choose either a text column, or prompt and completion." : null;
  return map.prompt && map.completion ? null : "Choose a prompt and a completion column, or a text column.";
}
