/** Rows, and the ways in which they come to the studio. */
import { type Page } from "@playwright/test";
import { type Seed, uniqueName } from "../support/seed";

export const PAIRS = [
  { prompt: "Who built the bridge?", completion: "Maria built it." },
  { prompt: "Where is the lamp?", completion: "In the attic." },
  { prompt: "When does the train leave?", completion: "At noon." },
];

export function jsonl(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** Drops a file on the page, as from the desktop. */
export async function drop(page: Page, name: string, content: string): Promise<void> {
  const data = await page.evaluateHandle(
    ([fileName, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text as string], fileName as string));
      return transfer;
    },
    [name, content],
  );
  await page.dispatchEvent("main", "drop", { dataTransfer: data });
}

export function upload(seed: Seed, rows: readonly object[] = PAIRS, name = uniqueName("pairs")) {
  return seed.uploadDataset(name, rows as Record<string, unknown>[], 1);
}
