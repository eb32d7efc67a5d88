import { ROUTES } from "./pages/shell";
import { expectAccessible, setTheme } from "./support/axe";
import { expect, test } from "./support/test";

test("the palette opens by key, finds a page and goes there, and Escape gives the focus back", async ({ page, shell }) => {
  await shell.open("/");

  await shell.openPalette();
  await expect(shell.palette.getByRole("combobox")).toBeFocused();
  await shell.choose("Prompt cache");

  await expect(page).toHaveURL(/\/cache$/);
  await expect(shell.palette).toBeHidden();

  const search = page.getByRole("button", { name: "Search and commands" });
  await search.focus();
  await page.keyboard.press("Enter");
  await expect(shell.palette).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(shell.palette).toBeHidden();
  await expect(search).toBeFocused();
});

test("the palette finds a model of the registry by its name", async ({ page, shell, seed }) => {
  const model = await seed.registerModel();
  await shell.open("/");

  await shell.openPalette();
  await shell.choose(model.name);

  await expect(page).toHaveURL(new RegExp(`/models/${model.id}`));
});

test("keys jump between pages, and rest while one types", async ({ page, shell }) => {
  await shell.open("/");

  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await expect(page).toHaveURL(/\/training$/);

  await shell.openPalette();
  await page.keyboard.type("gm");
  await expect(page).toHaveURL(/\/training$/);
});

test("? shows the shortcuts", async ({ page, shell }) => {
  await shell.open("/");

  await page.keyboard.press("?");

  const sheet = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await expect(sheet.getByText("Open the command palette")).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(sheet).toBeHidden();
});

test("the theme follows the system until one is chosen, and stays chosen", async ({ page, shell }) => {
  await shell.open("/");
  const html = page.locator("html");
  await setTheme(page, "dark");
  await setTheme(page, "light");

  await page.getByRole("radio", { name: "Dark" }).first().click();
  await expect(html).toHaveClass(/\bdark\b/);

  await page.reload();
  await expect(html).toHaveClass(/\bdark\b/);
});

test("the first Tab offers to skip to the content", async ({ page, shell }) => {
  await shell.open("/models");

  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  await expect(skip).toBeFocused();
  await page.keyboard.press("Enter");

  await expect(shell.main).toBeFocused();
});

test("every page is reached from the sidebar, which says where one is", async ({ shell }) => {
  await shell.open("/");
  const links = shell.navigation.getByRole("link");
  const names = await links.allTextContents();
  expect(names.length).toBeGreaterThanOrEqual(9);

  for (const name of names) {
    const link = shell.navigation.getByRole("link", { name, exact: true });
    await link.click();
    await expect(link).toHaveAttribute("aria-current", "page");
    await expect(shell.main.getByRole("heading", { level: 1 })).toBeVisible();
  }
});

test("an address that does not exist says so and leads back", async ({ page, shell, consoleGuard }) => {
  consoleGuard.allow(/status of 404/);
  await page.goto("/nowhere");

  await expect(page.getByRole("heading", { level: 1, name: "Page not found" })).toBeAttached();
  await expect(page).toHaveTitle(/MLX Model Hub/);
  await expectAccessible(page);
  await page.getByRole("link", { name: "Go to the dashboard" }).click();

  await expect(page).toHaveURL(/\/$/);
  await expect(shell.main).toBeVisible();
});

for (const route of ROUTES) {
  test(`${route} fits a screen of 320 px`, async ({ page, shell }) => {
    await page.setViewportSize({ width: 320, height: 640 });
    await shell.open(route);
    await page.waitForLoadState("load");

    await expect(shell.main.getByRole("heading", { level: 1 })).toBeVisible();
    expect(await shell.overflow()).toBe(0);
  });
}

test("on a small screen the menu leads to every page", async ({ page, shell }) => {
  await page.setViewportSize({ width: 320, height: 640 });
  await shell.open("/");

  await page.getByRole("button", { name: "Open the menu" }).click();
  const menu = page.getByRole("dialog", { name: "Menu" });
  await expectAccessible(page);
  await menu.getByRole("link", { name: "Training" }).click();

  await expect(page).toHaveURL(/\/training$/);
  await expect(menu).toBeHidden();
});
