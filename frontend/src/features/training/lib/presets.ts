/** Ways to begin. A preset says something of the same settings as all others, and leaves the rest alone. */
import { type Draft, toDraft } from "./draft";
import { formatSetting, type JobConfig, type SettingName, SETTINGS } from "./settings";

export interface Preset {
  id: string;
  title: string;
  purpose: string;
  config: Partial<JobConfig>;
}

export const PRESETS: readonly Preset[] = [
  {
    id: "quick",
    title: "Quick try",
    purpose: "Minutes: does the data work at all?",
    config: { epochs: 1, lora_rank: 8, lora_alpha: 16, learning_rate: 1e-4, max_seq_length: 1024, max_validation_rows: 64 },
  },
  {
    id: "balanced",
    title: "Balanced",
    purpose: "The defaults: a good first real run.",
    config: {},
  },
  {
    id: "thorough",
    title: "Thorough",
    purpose: "More capacity, longer, and ends by itself when it gets no better.",
    config: {
      epochs: 8,
      lora_rank: 32,
      lora_alpha: 64,
      lora_dropout: 0.05,
      warmup_steps: 20,
      early_stop_patience: 3,
    },
  },
];

const TOUCHED: readonly SettingName[] = [...new Set(PRESETS.flatMap(({ config }) => Object.keys(config) as SettingName[]))];

export function applyPreset(draft: Draft, preset: Preset): Draft {
  const wanted = toDraft(preset.config);
  return { ...draft, ...Object.fromEntries(TOUCHED.map((name) => [name, wanted[name]])) };
}

/** Null when the fields say something else than every preset. */
export function presetOf(draft: Draft): Preset | null {
  return (
    PRESETS.find(({ config }) => {
      const wanted = toDraft(config);
      return TOUCHED.every((name) => sameNumber(draft[name], wanted[name]));
    }) ?? null
  );
}

/** 1e-4 and 0.0001 are the same. */
function sameNumber(a: Draft[SettingName], b: Draft[SettingName]): boolean {
  if (a === "" || b === "" || typeof a === "boolean") return a === b;
  return Number(a) === Number(b);
}

const SHOWN: readonly SettingName[] = ["epochs", "lora_rank", "learning_rate"];

/** "Epochs 3", "Rank 16", "Learning rate 5e-5", and what else it changes. */
export function describePreset({ config }: Preset): string[] {
  const changed = TOUCHED.filter((name) => name in config && !SHOWN.includes(name));
  return [...SHOWN, ...changed].map(
    (name) => `${SETTINGS[name].label} ${formatSetting(name, config[name] ?? SETTINGS[name].default)}`,
  );
}
