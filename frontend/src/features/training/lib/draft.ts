/** What stands in the form's fields, and the settings that it means. Numbers stay as typed until they are sent. */
import { isPresent } from "@/lib/format/numbers";
import { type JobConfig, type NumberSetting, SETTING_NAMES, type SettingName, SETTINGS } from "./settings";

export type DraftValue = string | boolean;
export type Draft = Record<SettingName, DraftValue>;
export type DraftErrors = Partial<Record<SettingName, string>>;

/** The fields for a job's settings; what it does not say is the default. */
export function toDraft(config: Readonly<Record<string, unknown>> = {}): Draft {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => [name, asTyped(name in config ? config[name] : SETTINGS[name].default)]),
  ) as Draft;
}

function asTyped(value: unknown): DraftValue {
  if (typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.join(", ");
  return value === null || value === undefined ? "" : String(value);
}

/** The settings that differ from their defaults, and what is wrong with the others. */
export function readDraft(draft: Draft): { config: Partial<JobConfig>; errors: DraftErrors } {
  const config: Record<string, unknown> = {};
  const errors: DraftErrors = {};
  for (const name of SETTING_NAMES) {
    const { value, error } = readValue(name, draft[name]);
    if (error) errors[name] = error;
    else if (JSON.stringify(value) !== JSON.stringify(SETTINGS[name].default)) config[name] = value;
  }
  return { config: config as Partial<JobConfig>, errors };
}

function readValue(name: SettingName, typed: DraftValue): { value?: unknown; error?: string } {
  const setting = SETTINGS[name];
  if (typeof typed === "boolean" || setting.kind === "choice" || setting.kind === "switch") return { value: typed };
  const text = typed.trim();
  if (setting.kind === "list") {
    const items = text.split(",").map((item) => item.trim());
    return { value: items.some(Boolean) ? items.filter(Boolean) : null };
  }
  if (!text) return setting.empty ? { value: null } : { error: `Give a number, ${describeRange(setting)}.` };
  const value = Number(text);
  const error = checkNumber(setting, value);
  return error ? { error } : { value };
}

function checkNumber(setting: NumberSetting, value: number): string | null {
  if (!Number.isFinite(value)) return `Give a number, ${describeRange(setting)}.`;
  if (setting.kind === "integer" && !Number.isInteger(value)) return `Give a whole number, ${describeRange(setting)}.`;
  const { min = -Infinity, above = -Infinity, max = Infinity, below = Infinity } = setting;
  return value >= min && value > above && value <= max && value < below ? null : `It must be ${describeRange(setting)}.`;
}

/** "1 to 1,024", "more than 0, at most 100" */
export function describeRange({ min, above, max, below }: NumberSetting): string {
  const count = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  if (isPresent(min) && isPresent(max)) return `${count.format(min)} to ${count.format(max)}`;
  const low = isPresent(above) ? `more than ${count.format(above)}` : `${count.format(min ?? 0)} or more`;
  return `${low}, ${isPresent(below) ? `less than ${count.format(below)}` : `at most ${count.format(max ?? Infinity)}`}`;
}
