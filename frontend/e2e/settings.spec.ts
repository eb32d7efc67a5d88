import { expectAccessible } from "./support/axe";
import { expect, test } from "./support/test";

const NETWORK_FAILURES = /net::ERR_|Failed to fetch|ERR_CONNECTION_REFUSED/;

test("a wrong address is found by the test, told on every page when saved, and mended by the right one", async ({
  page,
  shell,
  stack,
  consoleGuard,
}) => {
  consoleGuard.allow(NETWORK_FAILURES);
  await shell.open("/settings");
  const address = page.getByRole("textbox", { name: "Address of the backend" });
  const check = page.getByRole("button", { name: "Test the backend" });

  await address.fill("http://127.0.0.1:9");
  await check.click();
  await expect(page.getByText(/Nothing answers at http:\/\/127\.0\.0\.1:9/)).toBeVisible();
  await address.fill(stack.inference);
  await check.click();
  await expect(page.getByText("This is the inference server, not the backend.")).toBeVisible();

  await address.fill("http://127.0.0.1:9");
  await page.getByRole("button", { name: "Save connection" }).click();
  await expect(page.getByText(/backend at http:\/\/127\.0\.0\.1:9 does not answer/).first()).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);

  await address.fill(stack.backend);
  await check.click();
  await expect(page.getByText(/^Answers, version/)).toBeVisible();
  await page.getByRole("button", { name: "Save connection" }).click();
  await expect(page.getByRole("table", { name: "Settings of the backend" })).toBeVisible({ timeout: 30_000 });
  await expect(page.getByText(/does not answer/)).toHaveCount(0, { timeout: 30_000 });
});

test("an address that is none is told before it is saved", async ({ page, shell }) => {
  await shell.open("/settings");

  await page.getByRole("textbox", { name: "Address of the inference server" }).fill("localhost:8080");

  await expect(page.getByText("Enter an address such as http://localhost:8002.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Test the inference server" })).toBeDisabled();
  await expectAccessible(page);
});

test("shows what the services were started with, and never a secret", async ({ page, shell }) => {
  await shell.open("/settings");

  const backend = page.getByRole("table", { name: "Settings of the backend" });
  await expect(backend.getByRole("row").filter({ hasText: "MODEL_CACHE_MAX_SIZE" })).toContainText("50000000000");
  await expect(backend.getByRole("row").filter({ hasText: "HF_TOKEN" })).toContainText(/Not set|Set, not shown/);
  const inference = page.getByRole("table", { name: "Settings of the inference server" });
  await expect(inference.getByRole("row").filter({ hasText: "MLX_PROMPT_CACHE_DIR" })).toBeVisible();
  await expect(page.getByRole("figure", { name: "Storage" })).toBeVisible();
  await expectAccessible(page);
});

test("defaults and theme stay after a reload, and a reset takes them back", async ({ page, shell }) => {
  await shell.open("/settings");
  const form = page.getByRole("form", { name: "Playground" });
  const temperature = form.getByRole("textbox", { name: "Temperature" });

  await temperature.fill("3");
  await expect(page.getByText("Enter a number from 0 to 2.")).toBeVisible();
  await temperature.fill("0.25");
  await form.getByRole("button", { name: "Save defaults" }).click();
  await expect(page.getByText("Playground defaults saved")).toBeVisible();
  await page.reload();
  await expect(temperature).toHaveValue("0.25");

  await page.getByRole("button", { name: "Reset" }).click();
  const question = page.getByRole("alertdialog", { name: "Reset your settings?" });
  await question.getByRole("button", { name: "Reset" }).click();
  await expect(question).toBeHidden();
  await expect(temperature).toHaveValue("");
});

test("leads to the keyboard shortcuts", async ({ page, shell }) => {
  await shell.open("/settings");

  await page.getByRole("button", { name: "Keyboard shortcuts" }).click();

  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
});
