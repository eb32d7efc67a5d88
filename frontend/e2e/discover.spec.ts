import { type components } from "../src/lib/api/backend";
import { expectAccessible } from "./support/axe";
import { type Seed, TALKER } from "./support/seed";
import { getStack } from "./support/stack";
import { expect, test } from "./support/test";

type Download = components["schemas"]["DownloadPublic"];

/** For the tests of this file alone, as a repository is downloaded once. */
const QUICK = "mlx-community/Talker-2M-copy";
const SLOW = "mlx-community/Slow-Talker-2M";
const GATED = "mlx-community/Guarded-2M";
const GIANT = "Giant-700B-4bit";
const SERVER_ERROR = /status of 50\d/;

/** As if it had never been downloaded: a platform may be used more than once. */
async function forget(seed: Seed, repoId: string): Promise<void> {
  const { items } = await seed.get<{ items: Download[] }>("/downloads?page_size=100");
  const known = items.find((download) => download.repo_id === repoId);
  if (!known) return;
  if (["queued", "running", "paused"].includes(known.status)) await seed.post(`/downloads/${known.id}/cancel`);
  if (known.status === "ready" && known.model_id) await seed.delete(`/models/${known.model_id}`);
}

test("shows what is popular and new, and a search narrows it down, also after a reload", async ({ page, shell }) => {
  await shell.open("/discover");
  const popular = page.getByRole("table", { name: "Popular" });
  await expect(popular.getByRole("link", { name: GIANT })).toBeVisible();
  await expect(popular.getByRole("row", { name: new RegExp(GIANT) })).toContainText("Too large");
  await expect(page.getByRole("table", { name: "Recent" })).toBeVisible();
  await expectAccessible(page);

  await page.getByRole("searchbox", { name: "Search models on the hub" }).fill("Talker");

  const results = page.getByRole("table", { name: "Models on the hub" });
  await expect(results.getByRole("link", { name: /^Talker-2M mlx-community/ })).toBeVisible();
  await expect(results.getByRole("link", { name: GIANT })).toHaveCount(0);
  await expect(page).toHaveURL(/\?q=Talker$/);
  await expectAccessible(page);

  await page.reload();
  await expect(page.getByRole("searchbox", { name: "Search models on the hub" })).toHaveValue("Talker");
  await expect(results.getByRole("link", { name: GIANT })).toHaveCount(0);
});

test("filters leave only what fits, has the size and the quantisation", async ({ page, shell }) => {
  await shell.open("/discover?sort=likes");
  const results = page.getByRole("table", { name: "Models on the hub" });
  await expect(results.getByRole("link", { name: GIANT })).toBeVisible();

  await page.getByRole("switch", { name: "Fits this machine" }).click();
  await expect(results.getByRole("link", { name: GIANT })).toHaveCount(0);
  await expect(results.getByRole("link", { name: /^Talker-2M mlx/ })).toBeVisible();

  await page.getByRole("combobox", { name: "Quantisation" }).click();
  await page.getByRole("option", { name: "4-bit" }).click();
  await expect(page.getByRole("heading", { name: "No model matches" })).toBeVisible();
  await expect(page).toHaveURL(/fits=1/);
  await expectAccessible(page);

  await page.getByRole("button", { name: "Clear the search" }).click();
  await expect(page.getByRole("table", { name: "Popular" })).toBeVisible();
});

test("a model's page tells whether it fits, its card and its files", async ({ page, shell }) => {
  await shell.open(`/discover/${TALKER}`);

  await expect(page.getByRole("heading", { level: 1, name: "Talker-2M" })).toBeVisible();
  await expect(page.getByText(/^Needs about .* of this machine's/)).toBeVisible();
  await expect(page.getByRole("heading", { name: "Talker", exact: true })).toBeVisible();
  await expect(page.getByRole("region", { name: "Code, python" })).toBeVisible();
  await expect(page.getByRole("link", { name: /^Open on the hub/ })).toHaveAttribute("href", `${getStack().hub}/${TALKER}`);
  await expectAccessible(page);

  await page.getByRole("link", { name: /^Files/ }).click();
  const files = page.getByRole("table", { name: "Files" });
  await expect(files.getByRole("row", { name: /model\.safetensors.*Included/ })).toBeVisible();
  await expect(files.getByRole("row", { name: /README\.md.*Left out/ })).toBeVisible();
  await expect(page).toHaveURL(/\?tab=files$/);
});

test("a download ends in the registry and in a chat", async ({ page, shell, seed }) => {
  await forget(seed, QUICK);
  await shell.open(`/discover/${QUICK}`);

  await page.getByRole("button", { name: "Download", exact: true }).click();

  await expect(page.getByText("On this machine", { exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(page.getByRole("link", { name: "Chat with it" })).toHaveAttribute(
    "href",
    `/inference?model=${encodeURIComponent(QUICK)}`,
  );
  await page.getByRole("link", { name: "Open the model" }).click();
  await expect(page.getByRole("heading", { level: 1, name: QUICK })).toBeVisible();
});

test("a download is paused, goes on from another page and is cancelled", async ({ page, shell, seed }) => {
  await forget(seed, SLOW);
  await shell.open(`/discover/${SLOW}`);
  await page.getByRole("button", { name: "Download", exact: true }).click();

  const progress = page.getByRole("main").getByRole("progressbar", { name: `Download of ${SLOW}` });
  await expect(progress).toHaveAttribute("aria-valuenow", /^[1-9]/, { timeout: 60_000 });
  await page.getByRole("button", { name: `Pause: ${SLOW}` }).click();
  await expect(page.getByRole("button", { name: `Resume: ${SLOW}` })).toBeVisible();
  await expectAccessible(page);
  const paused = Number(await progress.getAttribute("aria-valuenow"));

  await shell.open("/discover?view=downloads");
  const row = page.getByRole("main").getByRole("listitem").filter({ hasText: SLOW });
  await expectAccessible(page);
  await row.getByRole("button", { name: `Resume: ${SLOW}` }).click();
  await expect
    .poll(async () => Number(await progress.getAttribute("aria-valuenow")), { timeout: 60_000 })
    .toBeGreaterThan(paused);

  await row.getByRole("button", { name: `Cancel: ${SLOW}` }).click();
  const dialog = page.getByRole("alertdialog", { name: `Cancel the download of ${SLOW}?` });
  await expect(dialog).toContainText("will be deleted");
  await dialog.getByRole("button", { name: "Cancel the download" }).click();

  const ended = page.getByRole("table", { name: "Finished downloads" });
  await expect(ended.getByRole("row", { name: new RegExp(`${SLOW}.*Cancelled`) })).toBeVisible();
});

test("a gated model says what to do and cannot be downloaded", async ({ page, shell }) => {
  await shell.open(`/discover/${GATED}`);

  await expect(page.getByText("This model is gated")).toBeVisible();
  await expect(page.getByRole("link", { name: "its page on the hub" })).toHaveAttribute("href", `${getStack().hub}/${GATED}`);
  await expect(page.getByText("HF_TOKEN")).toBeVisible();
  await expect(page.getByRole("button", { name: "Download", exact: true })).toBeDisabled();
  await expect(page.getByRole("heading", { name: "The card is not shown" })).toBeVisible();
  await expectAccessible(page);
});

test("a hub that does not answer is told, and the search works again after it", async ({ page, shell, consoleGuard }) => {
  consoleGuard.allow(SERVER_ERROR);
  const problem = { status: 502, title: "Bad gateway", code: "upstream_down", detail: "The hub does not answer." };
  await page.route("**/api/v1/discover/search*", (route) =>
    route.fulfill({ status: 502, json: problem, headers: { "access-control-allow-origin": "*" } }),
  );
  await shell.open("/discover?q=Talker");

  await expect(page.getByRole("heading", { name: /^Could not load models of the hub/ })).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);

  await page.unroute("**/api/v1/discover/search*");
  await page.getByRole("button", { name: "Retry" }).click();
  await expect(page.getByRole("link", { name: /^Talker-2M mlx-community/ })).toBeVisible();
});

for (const [path, landmark] of [
  ["/discover?q=Talker", "Order"],
  ["/discover?view=downloads", "Downloads"],
  [`/discover/${TALKER}`, "Parameters"],
] as const) {
  test(`${path} fits a screen of 320 px`, async ({ page, shell }) => {
    await page.setViewportSize({ width: 320, height: 640 });
    await shell.open(path);

    const main = page.getByRole("main");
    await expect(main.getByText(landmark).or(main.getByLabel(landmark)).first()).toBeVisible();
    expect(await shell.overflow()).toBe(0);
  });
}
