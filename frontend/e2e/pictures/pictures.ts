import path from "node:path";
import { type Page } from "@playwright/test";
import { Playground } from "../pages/playground";
import type { components } from "../../src/lib/api/backend";
import { CONFIG, QUESTION } from "../support/seed";
import { expect, test } from "../support/test";

type Job = components["schemas"]["TrainingJobDetails"];

const FOLDER = path.resolve(import.meta.dirname, "../../../docs/pictures");
const SYSTEM =
  "You answer questions about the house. The keys hang behind the door, the lamp is in the attic, and the train leaves at noon. The codeword is tiger.";

test("pictures of every page", async ({ page, seed, shell, stack, request }) => {
  await page.addInitScript(
    (systemPrompt) => localStorage.setItem("mlx-hub.settings", JSON.stringify({ systemPrompt })),
    SYSTEM,
  );
  const [modelId, dataset] = [await seed.downloadModel(), await seed.uploadDataset("house-facts")];
  async function train(adapter: string, rate: number): Promise<Job> {
    const { id } = await seed.post<Job>("/training", {
      model_id: modelId,
      dataset_id: dataset.id,
      adapter_name: adapter,
      config: { ...CONFIG, epochs: 40, learning_rate: rate, validation_share: 0.25 },
    });
    return seed.waitFor<Job>(`/training/${id}`, (job) => job.status === "completed");
  }
  const trained = await train("house-keeper", 0.01);
  const slower = await train("house-keeper-slow", 0.003);
  await seed.downloadModel("mlx-community/Talker-2M-copy");
  for (const question of [QUESTION, "Who built the bridge?", "Where is the lamp?", "What is the codeword?"]) {
    const messages = [
      { role: "system", content: SYSTEM },
      { role: "user", content: question },
    ];
    await request.post(`${stack.inference}/v1/chat/completions`, { data: { messages, temperature: 0 } });
  }
  const pages: [string, string][] = [
    ["dashboard", "/"],
    ["discover", "/discover"],
    ["hub-model", "/discover/mlx-community/Talker-2M"],
    ["models", "/models"],
    ["model", `/models/${trained.adapter_id}`],
    ["training", "/training"],
    ["job", `/training/${trained.id}`],
    ["new-job", "/training/new"],
    ["compare-jobs", `/training/compare?runs=${trained.id},${slower.id}`],
    ["datasets", "/datasets"],
    ["dataset", `/datasets/${dataset.id}`],
    ["inference", "/inference"],
    ["cache", "/cache"],
    ["metrics", "/metrics"],
    ["settings", "/settings"],
  ];
  for (const theme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    for (const [name, address] of pages) {
      await page.goto(address);
      if (name === "inference") await new Playground(page, shell, request, stack).chat("What is the codeword?");
      await settle(page);
      await page.screenshot({ path: path.join(FOLDER, `${name}-${theme}.png`) });
    }
  }
});

/** Until nothing says that it loads any more. */
async function settle(page: Page): Promise<void> {
  await page.waitForTimeout(1_000);
  await expect(page.locator("[data-slot=loading-state], [data-slot=skeleton]")).toHaveCount(0);
  await page.waitForTimeout(500);
}
