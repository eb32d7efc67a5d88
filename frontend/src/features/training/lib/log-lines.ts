/** A trainer's log as it is searched. */

export interface LogLine {
  /** From 1, among the lines that are there. */
  number: number;
  text: string;
}

/** Lines that hold the text, whatever its case; all for an empty text. */
export function searchLines(lines: readonly string[], text: string): LogLine[] {
  const wanted = text.trim().toLowerCase();
  return lines
    .map((line, index) => ({ number: index + 1, text: line }))
    .filter((line) => !wanted || line.text.toLowerCase().includes(wanted));
}
