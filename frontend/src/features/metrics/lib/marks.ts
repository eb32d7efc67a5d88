/** What happened, as thin lines in every chart. */
import { type ChartMark } from "@/components/charts/uplot-options";

interface SystemEvent {
  at: number;
  kind: string;
  subject: string;
  detail: string | null;
}

const VERBS: Record<string, string> = {
  model_loaded: "loaded",
  model_unloaded: "unloaded",
  engine_started: "engine started",
  engine_down: "engine down",
  job_started: "started",
  job_completed: "completed",
  job_failed: "failed",
  job_cancelled: "cancelled",
};

/** The last part of a repository's name: marks stand close to each other. */
function shortName(name: string): string {
  return name.split("/").at(-1) ?? name;
}

export function describeEvent({ kind, subject, detail }: SystemEvent): string {
  const verb = VERBS[kind] ?? kind.replaceAll("_", " ");
  if (kind.startsWith("engine")) return verb.charAt(0).toUpperCase() + verb.slice(1);
  return `${kind.startsWith("job") ? (detail ?? subject) : shortName(subject)} ${verb}`;
}

export function toMarks(...lists: (readonly SystemEvent[])[]): ChartMark[] {
  return lists
    .flat()
    .sort((a, b) => a.at - b.at)
    .map((event) => ({ x: event.at, label: describeEvent(event) }));
}
