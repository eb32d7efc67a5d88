/** Parameters under a name. */
import { DEFAULT_PARAMETERS, NUMBER_PARAMETERS, type Parameters } from "./parameters";

export interface Preset {
  name: string;
  parameters: Parameters;
  /** Null: leaves the system prompt as it is. */
  systemPrompt: string | null;
}

function preset(name: string, numbers: Partial<Parameters>): Preset {
  return { name, parameters: { ...DEFAULT_PARAMETERS, ...numbers }, systemPrompt: null };
}

export const BUILT_IN_PRESETS: readonly Preset[] = [
  preset("Server defaults", {}),
  preset("Exact", { temperature: 0, seed: 0 }),
  preset("Balanced", { temperature: 0.7, top_p: 0.9 }),
  preset("Creative", { temperature: 1, top_p: 0.95, min_p: 0.05 }),
];

/** The preset whose numbers these are; tools and formats do not count, built-in presets leave them as they are. */
export function matchPreset(parameters: Parameters, presets: readonly Preset[]): Preset | null {
  return presets.find((one) => NUMBER_PARAMETERS.every((name) => one.parameters[name] === parameters[name])) ?? null;
}

/** The parameters with the preset's: all of one's own, of a built-in one the numbers. */
export function applyPreset(parameters: Parameters, chosen: Preset): Parameters {
  if (!BUILT_IN_PRESETS.includes(chosen)) return chosen.parameters;
  const numbers = Object.fromEntries(NUMBER_PARAMETERS.map((name) => [name, chosen.parameters[name]]));
  return { ...parameters, ...numbers };
}
