/** What a task does and has made, from what the API keeps of it. */
import type { Backend } from "@/lib/api/client";

type Task = Backend<"TaskPublic">;

const FORMATS: Record<string, string> = { adapter: "mlx-lm adapter", peft: "PEFT adapter", fused: "fused model" };

const text = (value: unknown) => (typeof value === "string" || typeof value === "number" ? String(value) : "");

/** "Export of v2 as PEFT adapter" */
export function describeTask({ kind, arguments: given }: Task): string {
  if (kind === "export") {
    const version = text(given.version);
    return `Export${version ? ` of v${version}` : ""} as ${FORMATS[text(given.format)] ?? text(given.format)}`;
  }
  if (kind === "quantise") return `Quantise to ${text(given.bits)} bits as ${text(given.name)}`;
  return `Import of ${text(given.path)} as ${text(given.name)}`;
}

/** The registered model that a quantisation or an import has made. */
export function madeModelId(task: Task): string | null {
  return task.status === "completed" && typeof task.result.model_id === "string" ? task.result.model_id : null;
}

export function taskBytes(task: Task): number | null {
  const found = task.result.num_bytes ?? task.arguments.num_bytes;
  return typeof found === "number" ? found : null;
}
