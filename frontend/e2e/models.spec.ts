import { type components } from "../src/lib/api/backend";
import { expectAccessible } from "./support/axe";
import { TALKER, uniqueName } from "./support/seed";
import { expect, test } from "./support/test";

type Aliases = { items: components["schemas"]["ModelAliasPublic"][] };
type Models = { items: components["schemas"]["RegisteredModelPublic"][] };

const CONFLICT = /status of 409/;

test("a model is registered and its page opens", async ({ page, shell }) => {
  const name = uniqueName("registered");
  await shell.open("/models");

  await page.getByRole("button", { name: "Register", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Register a model" });
  await dialog.getByRole("textbox", { name: "Name" }).fill(name);
  await dialog.getByRole("radio", { name: "Hub id" }).click();
  await dialog.getByRole("textbox", { name: "Base model" }).fill("org/base");
  await dialog.getByRole("textbox", { name: "Description" }).fill("For the support team.");
  await dialog.getByRole("textbox", { name: "Tags" }).fill("team: support");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Register" }).click();

  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  await expect(page).toHaveURL(/\/models\/[0-9a-f-]{36}$/);
  await expect(page.getByText("For the support team.")).toBeVisible();
  await expect(page.getByText("team: support")).toBeVisible();
  await expect(page.getByText("are not on this machine. Download them in Discover.")).toBeVisible();
  await expectAccessible(page);
});

test("what the form or the registry objects to is told at its field", async ({ page, shell, seed, consoleGuard }) => {
  consoleGuard.allow(CONFLICT);
  const taken = await seed.registerModel();
  await shell.open("/models");
  await page.getByRole("button", { name: "Register", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Register a model" });
  const name = dialog.getByRole("textbox", { name: "Name" });

  await dialog.getByRole("button", { name: "Register" }).click();
  await expect(name).toHaveAccessibleDescription(/Give it a name\./);

  await name.fill(taken.name);
  await dialog.getByRole("radio", { name: "Hub id" }).click();
  await dialog.getByRole("textbox", { name: "Base model" }).fill("org/base");
  await dialog.getByRole("button", { name: "Register" }).click();

  await expect(name).toHaveAccessibleDescription(/There is a model named .* already/);
  await expect(name).toHaveAttribute("aria-invalid", "true");
  await expectAccessible(page);
});

test("the registry is searched, filtered and sorted, and the address keeps it", async ({ page, shell, seed }) => {
  const { name } = await seed.registerModel();
  await shell.open("/models");
  await expect(page.getByRole("table", { name: "Models" })).toBeVisible();
  await expectAccessible(page);

  await page.getByRole("searchbox", { name: "Search the registry" }).fill(name);
  const rows = page.getByRole("table", { name: "Models" }).getByRole("row");
  await expect(rows).toHaveCount(2);
  await expect(page).toHaveURL(new RegExp(`q=${name}`));
  await page.getByRole("button", { name: "Size" }).click();
  await expect(page.getByRole("columnheader", { name: "Size" })).toHaveAttribute("aria-sort", "descending");

  await page.getByRole("radio", { name: "Adapters" }).click();
  await expect(page.getByRole("heading", { name: "No model matches" })).toBeVisible();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Show all models" }).click();
  await expect(page.getByRole("table", { name: "Models" })).toBeVisible();
});

test("a failing registry is told with a way to try again", async ({ page, shell, consoleGuard }) => {
  consoleGuard.allow(/status of 500/);
  const problem = { status: 500, title: "Error", code: "internal_error", detail: "The database is away." };
  await page.route("**/api/v1/models?*", (route) =>
    route.fulfill({ status: 500, json: problem, headers: { "access-control-allow-origin": "*" } }),
  );
  await shell.open("/models");

  await expect(page.getByRole("heading", { name: /^Could not load the models/ })).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);

  await page.unroute("**/api/v1/models?*");
  // A change that another test makes may have it fetched again before.
  await page
    .getByRole("button", { name: "Retry" })
    .click({ timeout: 5_000 })
    .catch(() => undefined);
  await expect(page.getByRole("table", { name: "Models" }).or(page.getByText("No models yet"))).toBeVisible();
});

test("a base model is loaded after its estimate, pinned and unloaded", async ({ page, shell, seed }) => {
  const id = await seed.downloadModel();
  await shell.open(`/models/${id}`);
  const serving = page.getByRole("main");
  const unload = serving.getByRole("button", { name: `Unload ${TALKER}`, exact: true });
  // Another test may have it in memory.
  const load = serving.getByRole("button", { name: `Load ${TALKER}`, exact: true });
  await expect(load.or(unload)).toBeVisible({ timeout: 30_000 });
  if (await unload.isVisible()) await unload.click();

  await load.click();
  const dialog = page.getByRole("dialog", { name: `Load ${TALKER}?` });
  await expect(dialog.getByText("It fits", { exact: true })).toBeVisible();
  await expectAccessible(page);
  await dialog.getByRole("checkbox", { name: "Pin it" }).click();
  await dialog.getByRole("button", { name: "Load" }).click();

  await expect(unload).toBeVisible({ timeout: 30_000 });
  await serving.getByRole("button", { name: `Unpin ${TALKER}`, exact: true }).click();
  await expect(serving.getByRole("button", { name: `Pin ${TALKER}`, exact: true })).toBeVisible({ timeout: 30_000 });
});

test.describe.serial("an adapter with two versions", () => {
  const name = uniqueName("tuned");
  let id = "";

  test.beforeAll(async ({ seed }) => {
    const short = { epochs: 2 };
    await seed.train(short, name);
    await seed.train({ ...short, lora_rank: 4 }, name);
    const { items } = await seed.get<Models>(`/models?query=${name}`);
    id = items[0]?.id ?? "";
  });

  test("is promoted and rolled back, and the registry follows", async ({ page, shell, seed }) => {
    const alias = "preview";
    const versionOf = async () =>
      (await seed.get<Aliases>(`/models/${id}/aliases`)).items.find((each) => each.alias === alias)?.version;
    await shell.open(`/models/${id}`);

    for (const version of [1, 2]) {
      await page.getByRole("button", { name: `Promote v${version}` }).click();
      const dialog = page.getByRole("dialog", { name: `Promote v${version}` });
      await dialog.getByRole("combobox", { name: "Alias" }).fill(alias);
      await dialog.getByRole("button", { name: "Promote" }).click();
      await expect(page.getByText(`${alias} is v${version} now`)).toBeVisible({ timeout: 30_000 });
      await expect(dialog).toBeHidden();
    }
    expect(await versionOf()).toBe(2);
    const aliases = page.getByRole("table", { name: "Aliases" });
    await expect(aliases.getByRole("row", { name: /preview v2 v1/ })).toBeVisible();
    await expectAccessible(page);

    await aliases.getByRole("button", { name: `Roll back ${alias}` }).click();
    const question = page.getByRole("alertdialog", { name: `Roll ${alias} back to v1?` });
    await expect(question).toContainText("gets v1 instead of v2");
    await question.getByRole("button", { name: "Roll back" }).click();

    await expect(aliases.getByRole("row", { name: /preview v1 v2/ })).toBeVisible({ timeout: 30_000 });
    expect(await versionOf()).toBe(1);
  });

  test("shows lineage, and both versions side by side by address", async ({ page, shell }) => {
    await shell.open(`/models/${id}`);
    await page.getByRole("button", { name: "Details of v2" }).click();
    const details = page.getByRole("region", { name: "Version 2", exact: true });
    await expect(details.getByRole("heading", { name: "Lineage" })).toBeVisible();
    await expect(details.getByRole("link", { name: "Open the job" })).toBeVisible();
    await expectAccessible(page);

    await page.getByRole("checkbox", { name: "Compare v2" }).click();
    await page.getByRole("checkbox", { name: "Compare v1" }).click();
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await expect(page).toHaveURL(/compare=2(,|%2C)1/);

    await page.reload();
    const both = page.getByRole("table", { name: "Configuration of both" });
    await expect(both.getByRole("row", { name: /LoRA rank 4 8/ })).toBeVisible();
    await expectAccessible(page);
  });

  test("is exported with progress, and its archive is downloaded", async ({ page, shell }) => {
    await shell.open(`/models/${id}`);
    await page.getByRole("button", { name: "Export v1" }).click();
    const dialog = page.getByRole("dialog", { name: "Export v1" });
    await dialog.getByRole("radio", { name: "PEFT" }).click();
    await expectAccessible(page);
    await dialog.getByRole("button", { name: "Export" }).click();

    const archive = page.getByRole("link", { name: "Download archive: Export of v1 as PEFT adapter" });
    await expect(archive).toBeVisible({ timeout: 60_000 });
    const [download] = await Promise.all([page.waitForEvent("download"), archive.click()]);
    expect(download.suggestedFilename()).toMatch(/\.tar$/);
    expect(await download.failure()).toBeNull();
  });

  test("keeps its base from being deleted, which says why", async ({ page, shell, seed }) => {
    const base = await seed.downloadModel();
    await shell.open(`/models/${base}`);
    await page.getByRole("button", { name: "More actions" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();

    const dialog = page.getByRole("alertdialog", { name: `Delete ${TALKER}?` });
    await expect(dialog).toContainText("It cannot be deleted now.");
    await expect(dialog).toContainText(name);
    await expect(dialog.getByRole("button", { name: "Delete" })).toBeDisabled();
    await expectAccessible(page);
  });

  test("is deleted after what goes with it was said", async ({ page, shell, seed }) => {
    await shell.open(`/models/${id}`);
    await page.getByRole("button", { name: "More actions" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();

    const dialog = page.getByRole("alertdialog", { name: `Delete ${name}?` });
    const losses = dialog.getByRole("list", { name: "Consequences" });
    await expect(losses).toContainText("2 versions");
    await expect(losses).toContainText(`${name}@preview`);
    await expectAccessible(page);
    await dialog.getByRole("button", { name: "Delete" }).click();

    await expect(page.getByText(`Deleted ${name}`)).toBeVisible();
    await expect(page).toHaveURL(/\/models$/);
    expect((await seed.get<Models>(`/models?query=${name}`)).items).toEqual([]);
  });
});
