import { describe, expect, test } from "vitest";
import { type ServedModel } from "../api";
import { exampleModel, loadedBytes, servedRows } from "./served";

const model = (facts: Partial<ServedModel>) =>
  ({ state: "unloaded", type: "base", last_used_at: null, weight_bytes: null, ...facts }) as ServedModel;

const MODELS = {
  resting: model({ last_used_at: "2026-01-02T00:00:00Z", weight_bytes: 70 }),
  older: model({ last_used_at: "2026-01-01T00:00:00Z" }),
  ready: model({ state: "loaded", weight_bytes: 50 }),
  adapter: model({ state: "loaded", type: "lora", weight_bytes: 50, last_used_at: "2026-01-01T00:00:00Z" }),
  coming: model({ state: "loading" }),
};

describe("servedRows", () => {
  test("what is loading or in memory goes first, then what was used last", () => {
    expect(servedRows(MODELS, 9).map(({ name }) => name)).toEqual(["coming", "adapter", "ready", "resting", "older"]);
  });

  test("shows no more than asked for", () => {
    expect(servedRows(MODELS, 2)).toHaveLength(2);
  });
});

describe("loadedBytes", () => {
  test("counts the weights of an adapter's base once", () => {
    expect(loadedBytes(MODELS)).toBe(50);
  });

  test("is unknown, not zero, without a size", () => {
    expect(loadedBytes({ ready: model({ state: "loaded" }) })).toBeNull();
  });
});

describe("exampleModel", () => {
  test("takes the preferred one where it is served, else one that answers at once", () => {
    expect(exampleModel(MODELS, "older")).toBe("older");
    expect(exampleModel({ resting: MODELS.resting, ready: MODELS.ready }, "gone")).toBe("ready");
    expect(exampleModel({}, null)).toBeNull();
  });
});
