import { describe, expect, it } from "vitest";
import { buildModelTree, counterpartOf, defaultModelOf, type ServedModel, type ServedModels } from "./model-tree";

function base(fields: Partial<ServedModel> = {}): ServedModel {
  return { type: "base", base: "", loaded: false, source: "cache", ...fields } as ServedModel;
}

function lora(on: string, fields: Partial<ServedModel> = {}): ServedModel {
  return base({ type: "lora", base: on, ...fields });
}

const models: ServedModels = {
  "org/a": base(),
  "org/b": base({ source: "default" }),
  "z-facts": lora("org/b"),
  "a-facts": lora("org/b"),
  orphan: lora("org/gone"),
};

describe("buildModelTree", () => {
  it("puts adapters under their base, by name", () => {
    const tree = buildModelTree(models);

    expect(tree.map((node) => [node.name, node.adapters.map((adapter) => adapter.name)])).toEqual([
      ["org/a", []],
      ["org/b", ["a-facts", "z-facts"]],
      ["org/gone", ["orphan"]],
    ]);
    expect(tree[2]?.model).toBeNull();
  });

  it("shows first what is in memory", () => {
    const tree = buildModelTree({ ...models, "z-facts": lora("org/b", { loaded: true }) });

    expect(tree[0]?.name).toBe("org/b");
  });
});

describe("defaultModelOf", () => {
  it("prefers the chosen one, then one in memory, then the server's own", () => {
    const loaded = { ...models, "z-facts": lora("org/b", { loaded: true }) };

    expect(defaultModelOf(loaded, "org/a")).toBe("org/a");
    expect(defaultModelOf(loaded, "removed")).toBe("z-facts");
    expect(defaultModelOf(models, null)).toBe("org/b");
    expect(defaultModelOf({}, null)).toBeNull();
  });
});

describe("counterpartOf", () => {
  it("sets an adapter against its base, and a base against its adapter", () => {
    expect(counterpartOf(models, "a-facts")).toBe("org/b");
    expect(counterpartOf(models, "org/b")).toBe("z-facts");
    expect(counterpartOf(models, "org/a")).toBe("org/b");
    expect(counterpartOf({ only: base() }, "only")).toBe("only");
  });
});
