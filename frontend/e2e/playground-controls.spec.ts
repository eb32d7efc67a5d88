import { DEMO, Playground } from "./pages/playground";
import { expectAccessible } from "./support/axe";
import { expect, test as base } from "./support/test";

const test = base.extend<{ playground: Playground }>({
  playground: async ({ page, shell, request, stack }, provide) => provide(new Playground(page, shell, request, stack)),
});

test("parameters go out with exact numbers, and a schema binds the answer", async ({ page, playground }) => {
  await playground.open();
  await page.getByRole("textbox", { name: "Temperature" }).fill("3");
  await expect(page.getByText("From 0 to 2.")).toBeVisible();
  await page.getByRole("textbox", { name: "Temperature" }).fill("0.37");
  await page.getByRole("textbox", { name: "Top K" }).fill("40");
  await page.getByRole("button", { name: "Reset top k" }).click();
  await page.getByRole("textbox", { name: "Seed" }).fill("7");
  await page.getByRole("radio", { name: "Schema" }).click();
  const schema = { type: "object", properties: { color: { enum: ["red"] } }, required: ["color"], additionalProperties: false };
  await page.getByRole("textbox", { name: "JSON schema" }).fill(JSON.stringify(schema));

  const { body } = await playground.ask("Which colour?");

  expect(body).toMatchObject({ temperature: 0.37, seed: 7 });
  expect(body).not.toHaveProperty("top_k");
  await expect(playground.answers.getByText(/\{\s*"color":\s*"red"\s*\}/)).toBeVisible();
});

test("tools are checked as they are typed; a call is shown, and its result leads on", async ({ page, playground }) => {
  await playground.open();
  const tools = page.getByRole("textbox", { name: "Tools" });
  await tools.fill('[{"type": "function", "function": {"name": "two words"}}]');
  await expect(page.getByText("tools[0].function.name must be 1 to 64 letters")).toBeVisible();
  await tools.fill("");
  await page.getByRole("button", { name: "Example of tools" }).click();
  await page.getByRole("radio", { name: "Must call" }).click();
  await page.getByRole("textbox", { name: "Max tokens" }).fill("200");

  await playground.ask("How is the weather in Rome?");

  await expect(playground.answers.getByText(/Call of get_weather/)).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);
  await page.getByRole("radio", { name: "Must not" }).click();
  await page.getByRole("textbox", { name: "Result of get_weather" }).fill('{"sky": "clear"}');
  await page.getByRole("button", { name: "Send result" }).click();
  await expect(page.getByRole("article", { name: "Tool result" })).toContainText("clear");
  await expect(playground.answers).toHaveCount(2);
  await expect(playground.stop).toBeHidden({ timeout: 30_000 });
  await expect(page.getByRole("alert").filter({ hasText: /\w/ })).toHaveCount(0);
});

test("the request is shown as code, and the conversation is exported", async ({ page, playground }) => {
  await playground.open("?prompt=Say%20hello");
  await expect(playground.message).toHaveValue("Say hello");
  await expect(playground.answers).toHaveCount(0);
  await playground.chat("Say hello");

  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "View as curl or Python" }).click();
  const dialog = page.getByRole("dialog", { name: "This request as code" });
  await expect(dialog.getByText(/curl -N/)).toContainText("/v1/chat/completions");
  await dialog.getByRole("tab", { name: "Python" }).click();
  await expect(dialog.getByText(/from openai import OpenAI/)).toContainText("Say hello");
  await expectAccessible(page);
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: "More actions" }).click();
  const saved = page.waitForEvent("download");
  await page.getByRole("menuitem", { name: "Export as Markdown" }).click();
  expect((await saved).suggestedFilename()).toBe("say-hello.md");
});

test("on a screen of 320 px parameters open in a sheet, and two models take turns", async ({ page, playground, shell }) => {
  await page.setViewportSize({ width: 320, height: 640 });
  await playground.open(`?models=${DEMO},${DEMO}`);

  await expect(page.getByRole("region", { name: "Second model" })).toBeHidden();
  await page.getByRole("radio", { name: "Second model" }).click();
  await expect(page.getByRole("region", { name: "Second model" })).toBeVisible();
  expect(await shell.overflow()).toBe(0);
  await page.getByRole("button", { name: "Parameters" }).click();
  const sheet = page.getByRole("dialog", { name: "Parameters" });
  await expect(sheet.getByRole("textbox", { name: "Temperature" })).toBeVisible();
  await expectAccessible(page);
});
