import { describe, expect, it } from "vitest";
import schema from "../../../../openapi/backend.json";
import { formatSetting, isChanged, SETTING_NAMES, SETTINGS, type Setting } from "./settings";

interface Facts {
  type?: string;
  default?: unknown;
  enum?: string[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  anyOf?: Facts[];
}

const PROPERTIES = schema.components.schemas.TrainingCreate.properties.config.properties as Record<string, Facts>;

/** What the API says of a setting, in the form's words. */
function told(facts: Facts): object {
  const options = facts.anyOf ?? [facts];
  const main = options.find(({ type }) => type !== "null") as Facts;
  return {
    canBeEmpty: options.some(({ type }) => type === "null"),
    default: facts.default ?? null,
    min: main.minimum,
    above: main.exclusiveMinimum,
    max: main.maximum,
    below: main.exclusiveMaximum,
    options: main.enum?.toSorted(),
    kind: main.enum ? "choice" : ({ boolean: "switch", array: "list" }[main.type ?? ""] ?? main.type),
  };
}

function shown(setting: Setting): object {
  const isNumber = setting.kind === "integer" || setting.kind === "number";
  return {
    canBeEmpty: "empty" in setting && setting.empty !== undefined,
    default: setting.default,
    min: isNumber ? setting.min : undefined,
    above: isNumber ? setting.above : undefined,
    max: isNumber ? setting.max : undefined,
    below: isNumber ? setting.below : undefined,
    options: setting.kind === "choice" ? setting.options.map(({ value }) => value).toSorted() : undefined,
    kind: setting.kind,
  };
}

describe("settings", () => {
  it("are those of the API, each once", () => {
    expect([...SETTING_NAMES].sort()).toEqual(Object.keys(PROPERTIES).sort());
    expect(new Set(SETTING_NAMES).size).toBe(SETTING_NAMES.length);
  });

  it.each(SETTING_NAMES)("%s has the kind, default and bounds of the API", (name) => {
    expect(shown(SETTINGS[name])).toEqual(told(PROPERTIES[name] as Facts));
  });

  it.each([
    ["num_layers", null, "all"],
    ["fine_tune_type", "dora", "DoRA"],
    ["mask_prompt", true, "yes"],
    ["learning_rate", 0.00005, "5e-5"],
    ["target_modules", ["q_proj", "v_proj"], "q_proj, v_proj"],
    ["of_a_newer_backend", null, "--"],
  ])("%s %j is told as %s", (name, value, text) => {
    expect(formatSetting(name, value)).toBe(text);
  });

  it("knows what is not the default", () => {
    expect(isChanged("epochs", 3)).toBe(false);
    expect(isChanged("epochs", 4)).toBe(true);
    expect(isChanged("steps", undefined)).toBe(false);
  });
});
