/** What the address of the playground says: `?model=a`, `?models=a,b`, `?conversation=id`, `?prompt=text`. */

export interface SessionAddress {
  /** None, one, or two to compare. */
  models: string[];
  conversation: string | null;
  /** Put into the composer, never sent by itself: links come from anywhere. */
  prompt: string | null;
}

const MAX_MODELS = 2;

export function readAddress(search: string): SessionAddress {
  const query = new URLSearchParams(search);
  const named = query.get("models")?.split(",") ?? query.getAll("model");
  return {
    models: named
      .map((name) => name.trim())
      .filter(Boolean)
      .slice(0, MAX_MODELS),
    conversation: query.get("conversation") || null,
    prompt: query.get("prompt") || null,
  };
}

/** Without the question mark; empty when nothing is to be said. The prompt is used up by reading it. */
export function writeAddress({ models, conversation }: Omit<SessionAddress, "prompt">): string {
  const parts: string[] = [];
  if (conversation) parts.push(`conversation=${encode(conversation)}`);
  if (models.length === 1) parts.push(`model=${encode(models[0] ?? "")}`);
  if (models.length > 1) parts.push(`models=${models.map(encode).join(",")}`);
  return parts.join("&");
}

/** Readable: names have slashes, which a query may hold as they are. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll("%2F", "/").replaceAll("%40", "@").replaceAll("%3A", ":");
}
