/** Tokens of a previewed row with what training does to each. */
import { type RowPreview } from "../api";

/** context: read, not learned. cut: beyond the limit, never seen. */
export type TokenUse = "learned" | "context" | "cut";

export interface TokenRun {
  use: TokenUse;
  /** Place of the first token in the row, from 0. */
  start: number;
  pieces: string[];
}

/** Neighbours that are used alike, together. */
export function tokenRuns({
  pieces,
  is_learned,
  num_kept,
}: Pick<RowPreview, "pieces" | "is_learned" | "num_kept">): TokenRun[] {
  const runs: TokenRun[] = [];
  pieces.forEach((piece, index) => {
    const use: TokenUse = index >= num_kept ? "cut" : is_learned[index] ? "learned" : "context";
    const last = runs.at(-1);
    if (last?.use === use) last.pieces.push(piece);
    else runs.push({ use, start: index, pieces: [piece] });
  });
  return runs;
}
