/** How chats begin, from a form's text. */

export interface DefaultsDraft {
  temperature: string;
  maxTokens: string;
}

export interface ParsedDefaults {
  values: { temperature: number | null; maxTokens: number | null };
  errors: Partial<Record<keyof DefaultsDraft, string>>;
}

/** An empty field is null: the server's default. */
export function parseDefaults(draft: DefaultsDraft): ParsedDefaults {
  const temperature = parseNumber(draft.temperature);
  const maxTokens = parseNumber(draft.maxTokens);
  const errors: ParsedDefaults["errors"] = {};
  if (temperature !== null && !(temperature >= 0 && temperature <= 2)) errors.temperature = "Enter a number from 0 to 2.";
  if (maxTokens !== null && !(Number.isInteger(maxTokens) && maxTokens >= 1 && maxTokens <= 1_000_000)) {
    errors.maxTokens = "Enter a whole number from 1 to 1,000,000.";
  }
  return { values: { temperature, maxTokens }, errors };
}

/** NaN for what is no number. */
function parseNumber(text: string): number | null {
  return text.trim() ? Number(text) : null;
}
