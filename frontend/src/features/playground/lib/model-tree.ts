/** Served models as a person chooses among them: bases, each with its adapters. */
import { type Inference } from "@/lib/api/client";

export type ServedModel = Inference<"AdminModel">;
export type ServedModels = Record<string, ServedModel>;

export interface ModelNode {
  name: string;
  /** Null: the base of these adapters is not served itself. */
  model: ServedModel | null;
  adapters: { name: string; model: ServedModel }[];
}

/** Loaded ones first, then by name. */
export function buildModelTree(models: ServedModels): ModelNode[] {
  const nodes = new Map<string, ModelNode>();
  for (const [name, model] of Object.entries(models)) {
    if (model.type === "base") nodes.set(name, { name, model, adapters: [] });
  }
  for (const [name, model] of Object.entries(models)) {
    if (model.type !== "lora") continue;
    const node = nodes.get(model.base) ?? { name: model.base, model: null, adapters: [] };
    node.adapters.push({ name, model });
    nodes.set(model.base, node);
  }
  const tree = [...nodes.values()];
  for (const node of tree) node.adapters.sort((a, b) => a.name.localeCompare(b.name));
  return tree.sort((a, b) => Number(isLoaded(b)) - Number(isLoaded(a)) || a.name.localeCompare(b.name));
}

function isLoaded(node: ModelNode): boolean {
  return Boolean(node.model?.loaded) || node.adapters.some(({ model }) => model.loaded);
}

/** The model for a new chat: the preferred one if it is served, else one in memory, else the server's own default. */
export function defaultModelOf(models: ServedModels, preferred: string | null): string | null {
  if (preferred && models[preferred]) return preferred;
  const entries = Object.entries(models);
  const found =
    entries.find(([, model]) => model.loaded) ?? entries.find(([, model]) => model.source === "default") ?? entries[0];
  return found?.[0] ?? null;
}

/** What it is most telling to compare with: an adapter's base, a base's adapter, else another model. */
export function counterpartOf(models: ServedModels, name: string | null): string | null {
  const model = name === null ? undefined : models[name];
  if (model?.type === "lora" && models[model.base]) return model.base;
  const others = Object.keys(models).filter((other) => other !== name);
  return others.find((other) => models[other]?.base === name) ?? others[0] ?? name;
}
