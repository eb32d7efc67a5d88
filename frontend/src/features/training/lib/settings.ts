/** The settings of a job: names, what they mean, bounds and defaults. A test holds bounds and defaults to the API's schema. */
import { type Backend } from "@/lib/api/client";
import { ABSENT } from "@/lib/format/numbers";

export type JobConfig = Required<NonNullable<Backend<"TrainingCreate">["config"]>>;
export type SettingName = keyof JobConfig;

interface Common {
  label: string;
  hint: string;
}

export interface NumberSetting extends Common {
  kind: "integer" | "number";
  default: number | null;
  /** `above` and `below` do not belong to the range, `min` and `max` do. */
  min?: number;
  above?: number;
  max?: number;
  below?: number;
  /** What an empty field means; without it there must be a number. */
  empty?: string;
}

export interface ChoiceSetting extends Common {
  kind: "choice";
  default: string;
  options: readonly { value: string; label: string }[];
}

export interface SwitchSetting extends Common {
  kind: "switch";
  default: boolean;
}

export interface ListSetting extends Common {
  kind: "list";
  default: null;
  empty: string;
}

export type Setting = NumberSetting | ChoiceSetting | SwitchSetting | ListSetting;

const integer = (label: string, hint: string, rest: Omit<NumberSetting, "kind" | "label" | "hint">): NumberSetting => ({
  kind: "integer",
  label,
  hint,
  ...rest,
});
const number = (label: string, hint: string, rest: Omit<NumberSetting, "kind" | "label" | "hint">): NumberSetting => ({
  kind: "number",
  label,
  hint,
  ...rest,
});

const MAX_COUNT = 10_000_000;

export const SETTINGS: Record<SettingName, Setting> = {
  fine_tune_type: {
    kind: "choice",
    label: "Method",
    hint: "LoRA is small and quick. DoRA learns a little more for more memory. Full changes every weight of an unquantised model.",
    default: "lora",
    options: [
      { value: "lora", label: "LoRA" },
      { value: "dora", label: "DoRA" },
      { value: "full", label: "Full" },
    ],
  },
  lora_rank: integer("Rank", "Size of the adapter: more learns more and takes more memory.", {
    default: 16,
    min: 1,
    max: 1024,
  }),
  lora_alpha: number("Alpha", "Weight of the adapter; it acts as alpha divided by rank.", {
    default: 32,
    above: 0,
    max: 65_536,
  }),
  lora_dropout: number("Dropout", "Share left out at random, against learning by heart.", { default: 0, min: 0, below: 1 }),
  num_layers: integer("Layers", "How many, counted from the top.", { default: null, min: 1, max: MAX_COUNT, empty: "all" }),
  target_modules: {
    kind: "list",
    label: "Modules",
    hint: "Names with commas between, such as q_proj, v_proj.",
    default: null,
    empty: "every linear layer",
  },
  learning_rate: number("Learning rate", "Size of each step; too much and the loss jumps.", {
    default: 5e-5,
    above: 0,
    max: 100,
  }),
  final_learning_rate: number("Final learning rate", "Where the schedule ends.", { default: 0, min: 0, max: 100 }),
  schedule: {
    kind: "choice",
    label: "Schedule",
    hint: "How the learning rate falls.",
    default: "cosine",
    options: [
      { value: "cosine", label: "Cosine" },
      { value: "linear", label: "Linear" },
      { value: "constant", label: "Constant" },
    ],
  },
  warmup_steps: integer("Warm-up steps", "Steps until the learning rate is reached.", { default: 0, min: 0, max: MAX_COUNT }),
  optimizer: {
    kind: "choice",
    label: "Optimiser",
    hint: "AdamW suits most runs; Adafactor, SGD and Lion take less memory.",
    default: "adamw",
    options: [
      { value: "adamw", label: "AdamW" },
      { value: "adam", label: "Adam" },
      { value: "adafactor", label: "Adafactor" },
      { value: "lion", label: "Lion" },
      { value: "muon", label: "Muon" },
      { value: "sgd", label: "SGD" },
    ],
  },
  weight_decay: number("Weight decay", "Pulls weights to zero, against learning by heart.", { default: 0.01, min: 0, max: 1 }),
  max_grad_norm: number("Largest gradient", "Longer gradients are cut to this norm.", {
    default: 1,
    above: 0,
    max: 1_000_000,
    empty: "never cut",
  }),
  epochs: integer("Epochs", "How often each row is seen.", { default: 3, min: 1, max: 10_000 }),
  steps: integer("Steps", "Wins over epochs.", { default: null, min: 1, max: MAX_COUNT, empty: "as epochs say" }),
  batch_size: integer("Batch size", "Rows at once: more is steadier and takes more memory.", { default: 4, min: 1, max: 4096 }),
  gradient_accumulation: integer("Accumulation", "Batches for one step; like a larger batch, without its memory.", {
    default: 1,
    min: 1,
    max: 4096,
  }),
  gradient_checkpointing: {
    kind: "switch",
    label: "Gradient checkpointing",
    hint: "Saves memory, and takes about a third more time.",
    default: false,
  },
  max_seq_length: integer("Longest row", "In tokens; what is longer is cut at the end.", {
    default: 2048,
    min: 8,
    max: 1_048_576,
  }),
  mask_prompt: {
    kind: "switch",
    label: "Learn answers only",
    hint: "The loss is taken of answers, not of questions.",
    default: true,
  },
  seed: integer("Seed", "The same seed gives the same run.", { default: 42, min: 0, max: 2_147_483_647 }),
  validation_share: number("Held out", "Share of rows kept for the validation loss; 0 is none.", {
    default: 0.1,
    min: 0,
    max: 0.5,
  }),
  max_validation_rows: integer("Held out at most", "In rows.", { default: 512, min: 1, max: MAX_COUNT }),
  eval_every: integer("Evaluate every", "In steps.", { default: null, min: 1, max: MAX_COUNT, empty: "once an epoch" }),
  early_stop_patience: integer("Stop early after", "Evaluations in a row without a better validation loss.", {
    default: null,
    min: 1,
    max: 10_000,
    empty: "never",
  }),
  save_every: integer("Save every", "In steps; a resumed run goes on from the newest save.", {
    default: 50,
    min: 1,
    max: MAX_COUNT,
  }),
  keep_checkpoints: integer("Checkpoints kept", "The newest; older ones are deleted.", { default: 2, min: 1, max: 100 }),
};

export interface SettingGroup {
  title: string;
  names: readonly SettingName[];
}

/** What most people change; always in sight. */
export const MAIN_SETTINGS: readonly SettingName[] = [
  "fine_tune_type",
  "epochs",
  "learning_rate",
  "lora_rank",
  "batch_size",
  "max_seq_length",
];

export const MORE_SETTINGS: readonly SettingGroup[] = [
  { title: "Adapter", names: ["lora_alpha", "lora_dropout", "num_layers", "target_modules"] },
  {
    title: "Optimiser",
    names: ["optimizer", "schedule", "warmup_steps", "final_learning_rate", "weight_decay", "max_grad_norm"],
  },
  {
    title: "Length and memory",
    names: ["steps", "gradient_accumulation", "seed", "gradient_checkpointing", "mask_prompt"],
  },
  {
    title: "Evaluation and checkpoints",
    names: ["validation_share", "max_validation_rows", "eval_every", "early_stop_patience", "save_every", "keep_checkpoints"],
  },
];

/** In the order of the form. */
export const SETTING_NAMES: readonly SettingName[] = [...MAIN_SETTINGS, ...MORE_SETTINGS.flatMap(({ names }) => names)];

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

/** As people read it: "LoRA", "3", "all", "yes". */
export function formatSetting(name: string, value: unknown): string {
  const setting = isSettingName(name) ? SETTINGS[name] : null;
  if (value === null || value === undefined) return describeEmpty(setting);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return formatShort(value);
  if (Array.isArray(value)) return value.join(", ");
  return labelOf(setting, String(value));
}

function formatShort(value: number): string {
  return value > 0 && value < 1e-3 ? value.toExponential() : String(value);
}

function labelOf(setting: Setting | null, value: string): string {
  const options = setting?.kind === "choice" ? setting.options : [];
  return options.find((option) => option.value === value)?.label ?? value;
}

function describeEmpty(setting: Setting | null): string {
  return (setting && "empty" in setting && setting.empty) || ABSENT;
}

/** Whether a job's value is another than the default; unknown settings are told as changed. */
export function isChanged(name: string, value: unknown): boolean {
  return !isSettingName(name) || JSON.stringify(SETTINGS[name].default) !== JSON.stringify(value ?? null);
}
