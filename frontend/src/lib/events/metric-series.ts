/** Curves of a training job, as the API gives them and the event stream extends them. */
import type { Backend } from "@/lib/api/client";
import type { TrainerPoint } from "@/lib/events/hub-event";

type Series = Backend<"MetricsPublic">["series"];
type Point = Backend<"SeriesPoint">;

const NOT_METRICS = new Set(["step", "t"]);

/** The same curves with the new points; a step that is known already is replaced, as a resumed run writes it again. */
export function appendPoints(series: Series, points: readonly TrainerPoint[]): Series {
  const added = new Map<string, Point[]>();
  for (const point of points) {
    const t = new Date(point.t * 1_000).toISOString();
    for (const [name, value] of Object.entries(point)) {
      if (NOT_METRICS.has(name) || typeof value !== "number" || !Number.isFinite(value)) continue;
      const curve = added.get(name) ?? [];
      curve.push({ step: point.step, value, t });
      added.set(name, curve);
    }
  }
  const result = { ...series };
  for (const [name, curve] of added) result[name] = mergeCurve(series[name] ?? [], curve);
  return result;
}

/** Sorted by step. Cheap in the usual case, where everything new lies behind what is known. */
function mergeCurve(known: readonly Point[], added: readonly Point[]): Point[] {
  const last = known.at(-1);
  const isSorted = added.every((point, index) => index === 0 || point.step > (added[index - 1] as Point).step);
  if (isSorted && (!last || (added[0] as Point).step > last.step)) return [...known, ...added];
  const byStep = new Map<number, Point>();
  for (const point of [...known, ...added]) byStep.set(point.step, point);
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}
