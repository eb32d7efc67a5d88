import { DEMO, Playground } from "./pages/playground";
import { expectAccessible } from "./support/axe";
import { TALKER, uniqueName } from "./support/seed";
import { expect, test as base } from "./support/test";

const test = base.extend<{ playground: Playground }>({
  playground: async ({ page, shell, request, stack }, provide) => provide(new Playground(page, shell, request, stack)),
});

test("an answer streams, tells its speed, and the second question finds the first in the cache", async ({
  page,
  playground,
}) => {
  await playground.open();
  const systemPrompt = `You are ${uniqueName("assistant")}, who answers briefly, honestly and in plain words.`;
  await page.getByRole("textbox", { name: "System prompt" }).fill(systemPrompt);

  const first = await playground.chat("What can you do?");
  await expect(first.getByText(/\d in, \d+ out/)).toBeVisible();
  await expect(first.getByText(/\d (ms|s)$/).first()).toBeVisible();
  const second = await playground.chat("And what else?");

  const badge = second.getByRole("button", { name: /^Cache hit: / });
  await expect(badge).toHaveAccessibleName(/[1-9]\d* of \d+ prompt tokens reused/);
  await badge.click();
  await expect(page.getByRole("dialog", { name: "Prompt cache" }).getByText(/prompt tokens reused/)).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("status").filter({ hasText: /^Answer complete, \d+ tokens?$/ })).toHaveCount(1);
  await expect(page.getByText(/\d+ \/ 8.2K tokens/)).toBeVisible();
});

for (const [how, stop] of [
  ["the button", (playground: Playground) => playground.stop.click()],
  ["Escape", (playground: Playground) => playground.message.press("Escape")],
] as const) {
  test(`${how} stops the answer at the server, and what had come stays`, async ({ playground }) => {
    await playground.open();
    await playground.makeAnswersLong();
    const { id } = await playground.ask("Tell me a long story.");
    await expect.poll(async () => (await playground.atServer(id))?.generated_tokens ?? 0).toBeGreaterThan(20);
    await expect(playground.answers).not.toBeEmpty();

    await stop(playground);

    await expect.poll(() => playground.atServer(id), { timeout: 10_000 }).toBeNull();
    await expect(playground.answers.getByText("Stopped", { exact: true })).toBeVisible();
    await expect(playground.stop).toBeHidden();
    await expect(playground.message).toBeEnabled();
  });
}

test("a past question is edited, and the talk goes on from there; undo brings the rest back", async ({ page, playground }) => {
  await playground.open();
  await playground.chat("First question");
  await playground.chat("Second question");
  const messages = page.getByRole("log", { name: "Messages" });

  await messages.getByRole("article", { name: "You" }).first().getByRole("button", { name: "Edit message" }).click();
  await page.getByRole("textbox", { name: "Edited message" }).fill("Another first question");
  await page.getByRole("textbox", { name: "Edited message" }).press("Control+Enter");

  await expect(messages.getByText("Another first question")).toBeVisible();
  await expect(messages.getByText("Second question")).toBeHidden();
  await expect(playground.answers).toHaveCount(1);
  // What the pointer rests on stays, however long the answer takes.
  await page.getByRole("button", { name: "Undo" }).hover();
  await expect(playground.stop).toBeHidden({ timeout: 30_000 });
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(messages.getByText("Second question")).toBeVisible();
  await expect(playground.answers).toHaveCount(2);
});

test("an answer is asked for again", async ({ playground }) => {
  await playground.open();
  const answer = await playground.chat(`What is ${uniqueName("a-list")}?`);
  const earlier = await answer.getByRole("button", { name: /^Cache/ }).getAttribute("aria-label");
  expect(earlier).not.toContain("Cache hit");

  await answer.getByRole("button", { name: "Regenerate" }).click();

  await expect(playground.answers.getByRole("button", { name: /^Cache hit/ })).toBeVisible();
  await expect(playground.answers).toHaveCount(1);
});

test("two models of a link answer one question, one after the other", async ({ page, playground, seed }) => {
  await seed.downloadModel();
  await playground.open(`?models=${DEMO},${TALKER}`);
  const [first, second] = [
    page.getByRole("region", { name: "First model" }),
    page.getByRole("region", { name: "Second model" }),
  ];
  await expect(first.getByRole("combobox")).toContainText(DEMO);
  await expect(second.getByRole("combobox")).toContainText(TALKER);
  await expect(page.getByRole("switch", { name: /Both at once/ })).not.toBeChecked();
  const asked: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/chat/completions")) asked.push((request.postDataJSON() as { model: string }).model);
  });

  await playground.ask("What is a decorator?");

  for (const column of [first, second]) {
    await expect(column.getByRole("article", { name: "You" })).toHaveCount(1);
    await expect(column.getByRole("button", { name: "Regenerate" })).toBeEnabled({ timeout: 30_000 });
  }
  expect(asked).toEqual([DEMO, TALKER]);
  await expectAccessible(page);
  await first.getByRole("button", { name: "Close the first model" }).click();
  await expect(page.getByRole("combobox", { name: new RegExp(`^Model: ${TALKER}`) })).toBeVisible();
  await expect(playground.answers).toHaveAccessibleName(`Answer of ${TALKER}`);
});

test("choosing a model loads it, and the address names it", async ({ page, playground, seed, request, stack }) => {
  await seed.downloadModel();
  await playground.open();
  await request.post(`${stack.inference}/admin/models/${TALKER}/unload`);

  await page.getByRole("combobox", { name: /^Model/ }).click();
  await page.getByRole("combobox", { name: "Search models" }).fill("Talker-2M");
  await page.getByRole("option", { name: new RegExp(`^${TALKER} `) }).click();

  await expect(page.getByRole("combobox", { name: `Model: ${TALKER}, loaded` })).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`[?&]model=${TALKER}`));
});

test("conversations outlive a reload; they are found, renamed, deleted and brought back", async ({ page, playground }) => {
  const [question, name] = [`Where is ${uniqueName("lamp")}?`, uniqueName("renamed")];
  await playground.open();
  await playground.chat(question);
  await expect(page).toHaveURL(/conversation=/);
  await page.reload();
  await expect(page.getByRole("log").getByText(question)).toBeVisible();
  await expect(playground.answers).toHaveCount(1);

  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(playground.answers).toHaveCount(0);
  await page.getByRole("button", { name: "History" }).click();
  const history = page.getByRole("dialog", { name: "History" });
  await history.getByRole("searchbox", { name: "Search conversations" }).fill(question.slice(0, -1).toUpperCase());
  await expect(history.getByRole("listitem")).toHaveCount(1);
  await history.getByRole("button", { name: /^Rename/ }).click();
  await history.getByRole("textbox", { name: "New name" }).fill(name);
  await page.keyboard.press("Enter");
  await expect(history.getByText(name)).toBeVisible();
  await expectAccessible(page);
  await history.getByRole("button", { name: `Delete ${name}` }).click();
  await expect(history.getByText("Nothing matches").or(history.getByText("No conversations yet"))).toBeVisible();
  await history.getByRole("button", { name: "Undo" }).click();
  await history.getByRole("button", { name: new RegExp(`^${name}`) }).click();

  await expect(page.getByRole("log").getByText(question)).toBeVisible();
});

test("a model that is not served is named, and the empty chat is accessible", async ({ page, playground }) => {
  await playground.open("?model=org/gone");

  await expect(page.getByText("org/gone is not served", { exact: true })).toBeVisible();
  await expectAccessible(page);
});

test("without the server the question stays, with what to do, and is asked again", async ({
  page,
  playground,
  wireTo,
  consoleGuard,
}) => {
  consoleGuard.allow(/net::ERR_|Failed to fetch/);
  const wire = await wireTo("inference");
  await playground.open();
  await wire.cut();

  await playground.ask("Are you there?");

  await expect(playground.answers.getByRole("alert")).toContainText(`The inference server at ${wire.url} does not answer.`);
  await expectAccessible(page);
  await wire.restore();
  await playground.answers.getByRole("button", { name: "Try again" }).click();
  await expect(playground.answers.getByRole("button", { name: "Regenerate" })).toBeVisible({ timeout: 30_000 });
});
