import { expectAccessible } from "./support/axe";
import { QUESTION, TALKER } from "./support/seed";
import { expect, test } from "./support/test";

test("shows the machine, answers and training; what no sensor tells is said, not made up", async ({ page, shell }) => {
  await shell.open("/metrics");

  await expect(page.getByRole("figure", { name: "Processor" })).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole("figure", { name: "Time to first token" })).toBeVisible();
  await expect(page.getByRole("figure", { name: "Memory", exact: true })).toBeVisible();
  const temperature = page.locator("dl").filter({ hasText: "Temperature" });
  await expect(temperature).toHaveText(/\d °C|--Not available on this host/);
  await expect(page.getByRole("heading", { name: "Training", exact: true })).toBeVisible();
  await expectAccessible(page);
});

test("asks for the history once, then only for what came after", async ({ page, shell }) => {
  const first = page.waitForRequest((request) => request.url().endsWith("/admin/system/metrics"));
  const later = page.waitForRequest((request) => /\/admin\/system\/metrics\?since=\d/.test(request.url()));
  await shell.open("/metrics");

  await first;
  await later;
});

test("a running request is listed and can be cancelled", async ({ page, shell, seed, stack, request }) => {
  await seed.downloadModel();
  await shell.open("/metrics");
  const answer = request
    .post(`${stack.inference}/v1/chat/completions`, {
      data: { model: TALKER, max_tokens: 8_000, ignore_eos: true, messages: [{ role: "user", content: QUESTION }] },
      timeout: 80_000,
    })
    .catch((error: unknown) => error);

  const cancel = page.getByRole("button", { name: `Cancel the request to ${TALKER}` });
  await expect(cancel.first()).toBeVisible({ timeout: 30_000 });
  await cancel.first().click();

  await expect(page.getByText("Request cancelled")).toBeVisible();
  await answer;
});

test("leads to Grafana, Prometheus, MLflow and both APIs", async ({ page, shell, stack }) => {
  await shell.open("/metrics");
  const links = page.getByRole("navigation", { name: "Elsewhere" });

  for (const name of ["Grafana", "Prometheus", "MLflow"]) await expect(links.getByRole("link", { name })).toBeVisible();
  await expect(links.getByRole("link", { name: "Inference API" })).toHaveAttribute("href", `${stack.inference}/docs`);
  await expect(links.getByRole("link", { name: "Backend API" })).toHaveAttribute("href", `${stack.backend}/docs`);
});

test("without the inference server the machine is still shown", async ({ page, shell, wireTo, consoleGuard }) => {
  consoleGuard.allow(/net::ERR_|Failed to fetch/);
  const wire = await wireTo("inference");
  await wire.cut();
  await shell.open("/metrics");

  await expect(page.getByText(/Could not load the inference server|No answer/).first()).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole("figure", { name: "Processor" })).toBeVisible();
  await expectAccessible(page);
});
