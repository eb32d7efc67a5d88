import { type Stack } from "./support/stack";
import { type APIRequestContext } from "@playwright/test";
import { expectAccessible } from "./support/axe";
import { QUESTION, TALKER, uniqueName } from "./support/seed";
import { expect, test } from "./support/test";

/** Long enough to be worth keeping, and of this test alone. */
function systemPrompt(): string {
  return `${uniqueName("You guard vault")}. ${"Answer in one short sentence and never say how the vault is opened. ".repeat(4)}`;
}

async function ask(request: APIRequestContext, stack: Stack, system: string, question: string): Promise<void> {
  const answer = await request.post(`${stack.inference}/v1/chat/completions`, {
    data: {
      model: TALKER,
      max_tokens: 4,
      messages: [
        { role: "system", content: system },
        { role: "user", content: question },
      ],
    },
    timeout: 60_000,
  });
  expect(answer.ok(), await answer.text()).toBe(true);
}

test.beforeEach(async ({ seed }) => {
  await seed.downloadModel();
});

test("the second question with a system prompt is a hit, and the page shows it", async ({ page, shell, request, stack }) => {
  const system = systemPrompt();
  await ask(request, stack, system, QUESTION);
  await ask(request, stack, system, "Who built the bridge?");

  await shell.open("/cache");

  const row = page.getByRole("row").filter({ hasText: system.slice(0, 30) });
  const hit = row.filter({ hasText: "System" }).filter({ has: page.getByRole("cell", { name: "1", exact: true }) });
  await expect(hit).toHaveCount(1);
  for (const bar of await page.getByRole("progressbar", { name: /tier, filled/ }).all()) {
    expect(Number(await bar.getAttribute("aria-valuenow"))).toBeLessThanOrEqual(100);
  }
  await expect(page.getByRole("figure", { name: "Hit rate" })).toBeVisible();
  await expectAccessible(page);
});

test("a prompt is warmed up and its entry deleted; then the whole cache is cleared, and says that it is empty", async ({
  page,
  shell,
}) => {
  const system = systemPrompt();
  await shell.open("/cache");

  await page.getByRole("button", { name: "Warm up", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Warm up a prompt" });
  await dialog.getByRole("button", { name: "Warm up" }).click();
  await expect(dialog.getByText("Enter the prompt.")).toBeVisible();
  await dialog.getByRole("combobox", { name: "Model" }).click();
  await page.getByRole("option", { name: TALKER, exact: true }).click();
  await dialog.getByRole("textbox", { name: "System prompt" }).fill(system);
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Warm up" }).click();
  await expect(dialog).toBeHidden({ timeout: 60_000 });
  const row = page.getByRole("row").filter({ hasText: system.slice(0, 30) });
  await expect(row).toHaveCount(1);

  await row.getByRole("button", { name: /^Delete/ }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(row).toHaveCount(0);

  await page.getByRole("button", { name: "Warm up", exact: true }).click();
  await dialog.getByRole("textbox", { name: "System prompt" }).fill(system);
  await dialog.getByRole("button", { name: "Warm up" }).click();
  await expect(dialog).toBeHidden({ timeout: 60_000 });
  await page.getByRole("button", { name: "Clear" }).click();
  const question = page.getByRole("alertdialog", { name: "Clear the prompt cache?" });
  await expect(question.getByRole("button", { name: "Clear" })).toBeDisabled();
  await question.getByRole("textbox").fill("clear");
  await question.getByRole("button", { name: "Clear" }).click();
  await expect(page.getByText("Nothing stored yet")).toBeVisible();
  await expectAccessible(page);
});

test("without the inference server it says so where the entries would be, and recovers", async ({
  page,
  shell,
  wireTo,
  consoleGuard,
}) => {
  consoleGuard.allow(/net::ERR_|Failed to fetch/);
  const wire = await wireTo("inference");
  await wire.cut();
  await shell.open("/cache");

  const retry = page
    .getByRole("main")
    .getByRole("button", { name: /Try again|Retry/ })
    .first();
  await expect(retry).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);

  await wire.restore();
  await retry.click();
  await expect(page.getByRole("button", { name: "Warm up", exact: true })).toBeEnabled();
  await expect(page.getByText("Tokens saved")).toBeVisible();
});
