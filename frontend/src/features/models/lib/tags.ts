/** Tags as one writes them: a line each, `name: value`. */

export type Tags = Record<string, string>;

/** Or what is wrong with them, for a person. */
export function parseTags(text: string): { tags: Tags; error: null } | { tags: null; error: string } {
  const tags: Tags = {};
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 0 || !name) return { tags: null, error: `Line ${index + 1}: write it as name: value.` };
    if (Object.hasOwn(tags, name)) return { tags: null, error: `Line ${index + 1}: there is a tag ${name} already.` };
    tags[name] = line.slice(colon + 1).trim();
  }
  return { tags, error: null };
}

export function formatTags(tags: Tags): string {
  return Object.entries(tags)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");
}
