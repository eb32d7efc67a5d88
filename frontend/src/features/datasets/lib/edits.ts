/** Changes of rows that are collected until they are saved as one new version. Row numbers are always of the stored file. */
import type { Backend } from "@/lib/api/client";
import { type RowContent } from "./row-texts";

type WireEdit = Backend<"DatasetEdits">["edits"][number];

export interface NewRow {
  key: string;
  /** It comes before this row. */
  before: number;
  content: RowContent;
}

export interface Edits {
  /** By row number; null deletes. */
  changed: ReadonlyMap<number, RowContent | null>;
  added: readonly NewRow[];
}

export const NO_EDITS: Edits = { changed: new Map(), added: [] };
/** As many as the backend takes at once. */
export const MAX_EDITS = 1_000;

export type EditAction =
  | { do: "replace"; row: number; content: RowContent }
  | { do: "delete"; row: number }
  /** Takes back what was done to the row. */
  | { do: "keep"; row: number }
  | { do: "add"; key: string; before: number; content: RowContent }
  | { do: "rewrite"; key: string; content: RowContent }
  | { do: "drop"; key: string }
  | { do: "clear" };

export function applyEdit(edits: Edits, action: EditAction): Edits {
  switch (action.do) {
    case "replace":
      return { ...edits, changed: new Map(edits.changed).set(action.row, action.content) };
    case "delete":
      return { ...edits, changed: new Map(edits.changed).set(action.row, null) };
    case "keep":
      return { ...edits, changed: new Map([...edits.changed].filter(([row]) => row !== action.row)) };
    case "add":
      return { ...edits, added: [...edits.added, { key: action.key, before: action.before, content: action.content }] };
    case "rewrite":
      return {
        ...edits,
        added: edits.added.map((row) => (row.key === action.key ? { ...row, content: action.content } : row)),
      };
    case "drop":
      return { ...edits, added: edits.added.filter((row) => row.key !== action.key) };
    case "clear":
      return NO_EDITS;
  }
}

export interface EditCounts {
  edited: number;
  deleted: number;
  added: number;
  total: number;
}

export function countEdits({ changed, added }: Edits): EditCounts {
  const deleted = [...changed.values()].filter((content) => content === null).length;
  const edited = changed.size - deleted;
  return { edited, deleted, added: added.length, total: changed.size + added.length };
}

/** What a change is about: the number of a stored row, or the key of a new one. */
export type EditTarget = number | string;

export interface WireEdits {
  edits: WireEdit[];
  /** In the same order. */
  targets: EditTarget[];
}

export function toWire({ changed, added }: Edits): WireEdits {
  const wire: WireEdits = { edits: [], targets: [] };
  for (const [row, content] of [...changed].sort(([a], [b]) => a - b)) {
    wire.edits.push(content === null ? { op: "delete", row } : { op: "replace", row, content: asWire(content) });
    wire.targets.push(row);
  }
  for (const { key, before, content } of added) {
    wire.edits.push({ op: "insert", row: before, content: asWire(content) });
    wire.targets.push(key);
  }
  return wire;
}

/** It was parsed from JSON, or made of texts. */
function asWire(content: RowContent): Backend<"RowReplace">["content"] {
  return content as Backend<"RowReplace">["content"];
}

/** The backend's objections, such as to `edits.3.content`, at the rows that they are about. */
export function objectionsByTarget(
  problems: readonly { field: string | null; message: string }[],
  targets: readonly EditTarget[],
): ReadonlyMap<EditTarget, string> {
  const found = new Map<EditTarget, string>();
  for (const { field, message } of problems) {
    const index = /^(?:body\.)?edits\.(\d+)\b/.exec(field ?? "")?.[1];
    const target = index === undefined ? undefined : targets[Number(index)];
    if (target !== undefined && !found.has(target)) found.set(target, message);
  }
  return found;
}
