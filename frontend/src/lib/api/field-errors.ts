/** A service's objections to a form, at the fields that they are about. */
import { ApiError, describeError } from "@/lib/api/errors";

export interface FormErrors {
  /** By the field's name, such as `config.lora_rank`. */
  fields: Record<string, string>;
  /** What no field of the form is to blame for; null when all was told at fields. */
  other: string | null;
}

/** `shown` are the fields that the form has: an objection to another one is told with the form. */
export function formErrors(error: unknown, shown: readonly string[]): FormErrors {
  const fields: Record<string, string> = {};
  if (!error) return { fields, other: null };
  const problems = error instanceof ApiError ? error.fields : [];
  for (const { field, message } of problems) {
    // The field, or the one that it lies in: `tags.team` is told at `tags`.
    const name = shown.find((known) => field === known || field?.startsWith(`${known}.`));
    if (name) fields[name] ??= message;
  }
  const isToldAtFields = problems.length > 0 && Object.keys(fields).length > 0;
  if (isToldAtFields) return { fields, other: null };
  const { message, nextStep } = describeError(error);
  return { fields, other: nextStep ? `${message} ${nextStep}` : message };
}
