import { describe, expect, it } from "vitest";
import { describeRange, readDraft, toDraft } from "./draft";
import { applyPreset, describePreset, presetOf, PRESETS } from "./presets";
import { type NumberSetting, SETTINGS } from "./settings";

const presetNamed = (id: string) => PRESETS.find((preset) => preset.id === id) as (typeof PRESETS)[number];

describe("the draft", () => {
  it("says nothing of what is the default", () => {
    expect(readDraft(toDraft())).toEqual({ config: {}, errors: {} });
  });

  it("brings a job's settings back", () => {
    const config = { lora_rank: 8, steps: 100, target_modules: ["q_proj", "v_proj"], mask_prompt: false, max_grad_norm: null };
    expect(readDraft(toDraft(config)).config).toEqual(config);
  });

  it("reads numbers however they are written", () => {
    expect(readDraft({ ...toDraft(), learning_rate: " 2e-4 " }).config).toEqual({ learning_rate: 0.0002 });
  });

  it.each([
    ["epochs", "", "Give a number, 1 to 10,000."],
    ["epochs", "1.5", "Give a whole number, 1 to 10,000."],
    ["epochs", "0", "It must be 1 to 10,000."],
    ["learning_rate", "0", "It must be more than 0, at most 100."],
    ["lora_dropout", "1", "It must be 0 or more, less than 1."],
    ["lora_rank", "many", "Give a number, 1 to 1,024."],
  ])("%s %j is wrong", (name, typed, message) => {
    expect(readDraft({ ...toDraft(), [name]: typed }).errors).toEqual({ [name]: message });
  });

  it("says where a number may lie", () => {
    expect(describeRange(SETTINGS.lora_alpha as NumberSetting)).toBe("more than 0, at most 65,536");
  });
});

describe("presets", () => {
  it("balanced are the defaults", () => {
    expect(presetOf(toDraft())?.id).toBe("balanced");
  });

  it.each(PRESETS.map(({ id }) => id))("%s is recognised once it is applied", (id) => {
    const draft = applyPreset(toDraft({ batch_size: 2 }), presetNamed(id));
    expect(presetOf(draft)?.id).toBe(id);
    expect(readDraft(draft)).toEqual({ config: { ...presetNamed(id).config, batch_size: 2 }, errors: {} });
  });

  it("takes back what the preset before it has set", () => {
    const draft = applyPreset(applyPreset(toDraft(), presetNamed("thorough")), presetNamed("balanced"));
    expect(draft).toEqual(toDraft());
  });

  it("is none for settings of one's own", () => {
    expect(presetOf({ ...toDraft(), epochs: "7" })).toBeNull();
    expect(presetOf({ ...toDraft(), learning_rate: "0.00005" })?.id).toBe("balanced");
  });

  it("says what it sets", () => {
    expect(describePreset(presetNamed("balanced"))).toEqual(["Epochs 3", "Rank 16", "Learning rate 5e-5"]);
    expect(describePreset(presetNamed("thorough"))).toContain("Dropout 0.05");
  });
});
