import { describe, expect, it } from "vitest";
import { DEFAULT_PARAMETERS } from "./parameters";
import { applyPreset, BUILT_IN_PRESETS, matchPreset } from "./presets";

const exact = BUILT_IN_PRESETS.find((preset) => preset.name === "Exact")!;

describe("presets", () => {
  it("are recognised by their numbers", () => {
    expect(matchPreset(DEFAULT_PARAMETERS, BUILT_IN_PRESETS)?.name).toBe("Server defaults");
    expect(matchPreset({ ...DEFAULT_PARAMETERS, temperature: 0, seed: 0 }, BUILT_IN_PRESETS)?.name).toBe("Exact");
    expect(matchPreset({ ...DEFAULT_PARAMETERS, temperature: 0.123 }, BUILT_IN_PRESETS)).toBeNull();
  });

  it("of the dashboard leave tools and formats as they are", () => {
    const own = { ...DEFAULT_PARAMETERS, tools: "[]", temperature: 1.5 };

    expect(applyPreset(own, exact)).toEqual({ ...own, temperature: 0, seed: 0 });
  });

  it("of one's own bring everything", () => {
    const parameters = { ...DEFAULT_PARAMETERS, tools: "[]", temperature: 1.5 };
    const own = { name: "mine", parameters, systemPrompt: null };

    expect(applyPreset(DEFAULT_PARAMETERS, own)).toEqual(parameters);
  });
});
