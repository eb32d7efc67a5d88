/** How well a text answers what was typed into the palette. */

const EXACT = 1;
const START = 0.9;
const WORD_START = 0.75;
const INITIALS = 0.6;
const INSIDE = 0.5;
const KEYWORD = 0.4;
const SCATTERED = 0.1;

/**
 * 0 when it does not match, else up to 1. Every typed word must be found: at the start of the title, at the start of one of its words,
 * as its initials, inside it, at the start of a keyword, or, last, as letters in order.
 */
export function scoreMatch(typed: string, title: string, keywords: readonly string[] = []): number {
  const query = normalise(typed);
  if (!query) return EXACT;
  const text = normalise(title);
  if (text === query) return EXACT;
  if (text.startsWith(query)) return START;
  const words = query.split(" ");
  const scores = words.map((word) => scoreWord(word, text, normalise(keywords.join(" ")).split(" ")));
  if (!scores.includes(0)) return scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return isScattered(query.replaceAll(" ", ""), text) ? SCATTERED : 0;
}

function scoreWord(word: string, text: string, keywords: readonly string[]): number {
  const words = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (words.some((other) => other.startsWith(word))) return WORD_START;
  const initials = words.map((other) => other.charAt(0)).join("");
  if (word.length > 1 && initials.startsWith(word)) return INITIALS;
  if (text.includes(word)) return INSIDE;
  return keywords.some((keyword) => keyword.startsWith(word)) ? KEYWORD : 0;
}

function isScattered(letters: string, text: string): boolean {
  let position = 0;
  for (const letter of letters) {
    position = text.indexOf(letter, position) + 1;
    if (position === 0) return false;
  }
  return letters.length > 2;
}

function normalise(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim().replace(/\s+/g, " ");
}
