import { expectAccessible } from "./support/axe";
import { TALKER, uniqueName } from "./support/seed";
import { expect, test } from "./support/test";

test("says what is served, how this machine is, and that each service is well", async ({ page, shell, seed }) => {
  await seed.downloadModel();
  await shell.open("/");

  const served = page.getByRole("table", { name: "Served models" });
  await expect(served.getByRole("link", { name: TALKER, exact: true })).toBeVisible({ timeout: 30_000 });
  const services = page.getByRole("list", { name: "Services" });
  await expect(services.getByRole("listitem").filter({ hasText: "Backend" })).toContainText("OK");
  await expect(services.getByRole("listitem").filter({ hasText: "Inference server" })).toContainText("OK");
  await expect(services.getByRole("listitem").filter({ hasText: "Worker" })).toContainText("OK");
  await expect(page.getByRole("progressbar", { name: "Memory, used" })).toBeVisible();
  await expect(page.getByRole("progressbar", { name: "Disk, used" })).toBeVisible();
  await expectAccessible(page);
});

test("the code names the server's address, and is right for the language", async ({ page, shell, stack }) => {
  await shell.open("/");
  const code = page.getByRole("region", { name: "Code" });

  await expect(code).toContainText(`${stack.inference}/v1/chat/completions`);
  await page.getByRole("radio", { name: "Python" }).check();

  await expect(code).toContainText("from openai import OpenAI");
  await expect(code).toContainText(`${stack.inference}/v1`);
});

test("a job under way is shown with its progress, and goes when it is cancelled", async ({ page, shell, seed }) => {
  await shell.open("/");
  const job = await seed.startTraining({ epochs: 2_000 }, uniqueName("long"));

  const row = page.getByRole("list", { name: "Under way" }).getByRole("listitem").filter({ hasText: job.name });
  await expect(row.getByRole("progressbar")).toBeVisible({ timeout: 60_000 });
  await expectAccessible(page);

  await seed.post(`/training/${job.id}/cancel`);
  await expect(row).toHaveCount(0, { timeout: 60_000 });
});

test("without the backend the rest still shows, and each gap says why", async ({ page, shell, wireTo, consoleGuard }) => {
  consoleGuard.allow(/net::ERR_|Failed to fetch/);
  const wire = await wireTo("backend");
  await wire.cut();
  await shell.open("/");

  const services = page.getByRole("list", { name: "Services" });
  await expect(services.getByRole("listitem").filter({ hasText: "Backend" })).toContainText("Down", { timeout: 30_000 });
  await expect(services.getByRole("listitem").filter({ hasText: "Inference server" })).toContainText("OK");
  await expect(page.getByRole("table", { name: "Served models" })).toBeVisible();
  await expectAccessible(page);
});

test("before there is any model it offers some that fit this machine", async ({ page, shell }) => {
  // The tests' platform has models by now: the registry's own answer, without its rows.
  await page.route(/\/api\/v1\/models\?/, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...((await answer.json()) as object), items: [], total: 0 } });
  });
  await page.route(/\/admin\/models$/, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { total_models: 0, loaded_models: 0, models: {} } });
  });
  await shell.open("/");

  await expect(page.getByRole("heading", { name: "Choose your first model" })).toBeVisible();
  const fitting = page.getByRole("list", { name: "Models that fit" });
  await expect(fitting.getByRole("button", { name: `Download ${TALKER}`, exact: true })).toBeVisible({ timeout: 30_000 });
  await expect(fitting).not.toContainText("Giant-700B");
  await expectAccessible(page);
});
