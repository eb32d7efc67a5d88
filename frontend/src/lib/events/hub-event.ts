/** What the backend's event stream says, from the text of an event to a typed value. */
import type { EventSourceMessage } from "eventsource-parser";
import type { Backend } from "@/lib/api/client";

/** A point as the trainer wrote it: `t` in seconds since 1970, and metrics by name. */
export interface TrainerPoint {
  step: number;
  t: number;
  [metric: string]: number | null;
}

interface Told<Kind extends string, Payload> {
  kind: Kind;
  subjectId: string;
  payload: Payload;
  createdAt: string;
}

/** A row that was deleted comes as its id alone. */
export interface Deleted {
  id: string;
  is_deleted: true;
}

export type HubEvent =
  | Told<"job", Backend<"TrainingJobPublic">>
  | Told<"metrics", { job_id: string; points: TrainerPoint[] }>
  | Told<"download", Backend<"DownloadPublic">>
  | Told<"task", Backend<"TaskPublic">>
  | Told<"dataset", Backend<"DatasetPublic"> | Deleted>
  | Told<"model", Backend<"RegisteredModelPublic"> | Deleted>
  | Told<"system", Backend<"HostPublic">>;

/** `hello`: from now on. `reset`: something was missed for good. */
export type StreamMessage = { type: "position"; isReset: boolean } | { type: "event"; event: HubEvent };

const KINDS = new Set<string>(["job", "metrics", "download", "task", "dataset", "model", "system"]);

/** Null for what this dashboard does not know: a newer backend may tell more. */
export function parseMessage({ event, data }: Pick<EventSourceMessage, "event" | "data">): StreamMessage | null {
  if (event === "hello" || event === "reset") return { type: "position", isReset: event === "reset" };
  if (!event || !KINDS.has(event)) return null;
  let body: { subject_id: string; payload: unknown; created_at: string };
  try {
    body = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof body?.subject_id !== "string" || typeof body.payload !== "object" || body.payload === null) return null;
  const told = { kind: event, subjectId: body.subject_id, payload: body.payload, createdAt: body.created_at };
  // The payloads are the public rows that the API's own types describe.
  return { type: "event", event: told as HubEvent };
}

export function isDeleted(payload: object): payload is Deleted {
  return "is_deleted" in payload && payload.is_deleted === true;
}
