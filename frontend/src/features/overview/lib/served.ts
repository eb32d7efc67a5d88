/** The served models as the dashboard lists them. */
import { type ServedModel } from "../api";

export interface ServedRow extends ServedModel {
  name: string;
}

const ORDER: Record<ServedModel["state"], number> = { loading: 0, loaded: 1, unloaded: 2 };

/** What is in memory first, then what was used last; at most `max`. */
export function servedRows(models: Record<string, ServedModel>, max: number): ServedRow[] {
  return Object.entries(models)
    .map(([name, model]) => ({ ...model, name }))
    .sort((a, b) => ORDER[a.state] - ORDER[b.state] || usedAt(b) - usedAt(a) || a.name.localeCompare(b.name))
    .slice(0, max);
}

function usedAt(model: ServedModel): number {
  return model.last_used_at ? Date.parse(model.last_used_at) : 0;
}

/** Of the models in memory; adapters share their base's weights. Null when no size is known. */
export function loadedBytes(models: Record<string, ServedModel>): number | null {
  const sizes = Object.values(models)
    .filter(({ state, type }) => state === "loaded" && type === "base")
    .map(({ weight_bytes: bytes }) => bytes)
    .filter((bytes) => bytes !== null);
  return sizes.length ? sizes.reduce((sum, bytes) => sum + bytes, 0) : null;
}

/** The model that code examples name: one that is loaded, else any. */
export function exampleModel(models: Record<string, ServedModel>, preferred: string | null): string | null {
  if (preferred && preferred in models) return preferred;
  return servedRows(models, 1)[0]?.name ?? null;
}
