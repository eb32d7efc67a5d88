// @vitest-environment node
import { describe, expect, it } from "vitest";
import { compareConfigs, compareMetrics, formatValue, humanise, readMetrics } from "./compare";
import { contextChoices, describeVerdict, type MemoryEstimate } from "./memory-verdict";
import { type Download, type Model, namesOf, preferredName, type Served, sortRows, toRow, type Version } from "./model-rows";
import { formatTags, parseTags } from "./tags";

function model(rest: Partial<Model> = {}): Model {
  return {
    id: "1",
    name: "org/model",
    type: "base",
    base_model: "org/model",
    base_model_id: null,
    task_type: "text-generation",
    description: "",
    tags: {},
    latest_version: null,
    aliases: {},
    created_at: "2026-06-01T00:00:00Z",
    updated_at: "2026-06-01T00:00:00Z",
    ...rest,
  };
}

function served(rest: Partial<Served> = {}): Served {
  return {
    type: "base",
    base: "org/model",
    loaded: false,
    state: "unloaded",
    last_used_at: null,
    shares_batch: null,
    source: "cache",
    registered_by: null,
    model_id: null,
    adapter_path: null,
    pinned: false,
    num_active: 0,
    weight_bytes: 500,
    quantization: "4-bit",
    max_context_tokens: 4096,
    created_at: null,
    ...rest,
  };
}

const ready = {
  repo_id: "org/model",
  status: "ready",
  num_bytes_total: 600,
  last_used_at: "2026-06-02T00:00:00Z",
  details: {},
};
const downloads = [ready as unknown as Download];

describe("a row of the registry", () => {
  it("joins a base with its download and what is served of it", () => {
    const loaded = served({ loaded: true, state: "loaded", pinned: true, last_used_at: "2026-06-03T00:00:00Z" });

    const row = toRow(model(), { served: { "org/model": loaded, "org/other": served() }, downloads });

    expect(row).toMatchObject({
      state: "loaded",
      isPinned: true,
      quantization: "4-bit",
      numBytes: 600,
      lastUsedAt: "2026-06-03T00:00:00Z",
    });
  });

  it("finds an adapter's names by its id and takes the size of its newest version", () => {
    const adapter = model({ id: "7", name: "tuned", type: "adapter" });
    const lora = served({ type: "lora", model_id: "7" });
    const table = { "tuned@latest": lora, "tuned@champion": { ...lora, state: "loading" as const }, "org/model": served() };

    const row = toRow(adapter, { served: table, downloads, adapterBytes: new Map([["7", 42]]) });

    expect(namesOf(adapter, table).map(({ name }) => name)).toEqual(["tuned@champion", "tuned@latest"]);
    expect(preferredName(row.servedNames)).toBe("tuned@champion");
    expect(row).toMatchObject({ state: "loading", numBytes: 42, lastUsedAt: null });
  });

  it("is absent when nothing is served of it, and unknown while the server is silent", () => {
    const alone = model({ base_model: "org/elsewhere" });

    expect(toRow(alone, { served: {}, downloads }).state).toBe("absent");
    expect(toRow(alone, { served: undefined, downloads })).toMatchObject({ state: "unknown", numBytes: null });
  });

  it("is sorted with what is unknown last, whichever way", () => {
    const rows = [600, null, 200].map((numBytes, index) => ({
      ...toRow(model({ name: `m${index}` }), { served: {}, downloads: [] }),
      numBytes,
    }));
    const names = (direction: "asc" | "desc") => sortRows(rows, "size", direction).map((row) => row.model.name);

    expect([names("asc"), names("desc")]).toEqual([
      ["m2", "m0", "m1"],
      ["m0", "m2", "m1"],
    ]);
    expect(sortRows(rows, "name", "desc").map((row) => row.model.name)).toEqual(["m2", "m1", "m0"]);
  });
});

describe("versions side by side", () => {
  const version = (metrics: object, config: object = {}) => ({ metrics, config }) as unknown as Version;

  it("mark the lower loss as the better one, and nothing where they are equal", () => {
    const rows = compareMetrics([
      version({ adapter_loss: 1.5, train_loss: 0.5, base_loss: 3, is_servable: true }),
      version({ adapter_loss: 0.75, train_loss: 0.5, base_loss: 4 }),
    ]);

    expect(rows.map(({ name, better, isDifferent }) => [name, better, isDifferent])).toEqual([
      ["Adapter loss", 1, true],
      ["Train loss", null, false],
      ["Base loss", null, true],
    ]);
  });

  it("tell notes only where there is something to say", () => {
    const fine = version({ train_loss: null, is_servable: true, note: null, evaluation_error: null });
    const other = version({ is_servable: false, note: "Export it as fused." });

    expect(readMetrics(fine)).toEqual([["Train loss", "--"]]);
    expect(readMetrics(other)).toEqual([
      ["Servable", "no"],
      ["Note", "Export it as fused."],
    ]);
  });

  it("show a setting that only one of them has as absent in the other", () => {
    const [row] = compareConfigs([version({}, { lora_rank: 8 }), version({})]);

    expect(row).toMatchObject({ name: "LoRA rank", values: ["8", "--"], isDifferent: true, better: null });
  });

  it.each([
    [true, "yes"],
    [0.00025, "0.00025"],
    [["q", "v"], "q, v"],
    [[], "none"],
    [null, "--"],
    [{ a: 1 }, '{"a":1}'],
  ])("%o is written as %s", (value, text) => expect(formatValue(value)).toBe(text));

  it("names are words", () => expect(humanise("num_evaluated_rows")).toBe("Evaluated rows"));
});

describe("tags", () => {
  it("are read as they are written", () => {
    const tags = { team: "search", url: "http://x:1/y" };

    expect(parseTags(`\n${formatTags(tags)}\n`)).toEqual({ tags, error: null });
  });

  it.each([
    ["team", "Line 1: write it as name: value."],
    ["a: 1\n: 2", "Line 2: write it as name: value."],
    ["a: 1\n\na: 2", "Line 3: there is a tag a already."],
  ])("%j are refused by their line", (text, error) => expect(parseTags(text)).toEqual({ tags: null, error }));
});

it("the verdict names what has to go", () => {
  const estimate = {
    verdict: "fits_after_eviction",
    total_bytes: 2e9,
    free_bytes: 1e9,
    would_evict: ["a", "b"],
    reason: null,
  } as MemoryEstimate;

  expect(describeVerdict(estimate).text).toBe("It takes 2 GB, and 1 GB are free. These are unloaded first: a, b.");
  expect(describeVerdict({ ...estimate, verdict: "unknown", reason: "No engine." }).text).toBe("No engine.");
});

it.each([
  [null, [4_096, 16_384, 32_768, 131_072]],
  [2_048, [2_048]],
  [32_768, [4_096, 16_384, 32_768]],
  [1_000_000, [4_096, 16_384, 32_768, 131_072]],
])("a model of %j tokens is estimated for %j", (max, choices) => expect(contextChoices(max)).toEqual(choices));
