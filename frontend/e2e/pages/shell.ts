/** What surrounds every page. */
import { expect, type Locator, type Page } from "@playwright/test";

/** Every page that needs no id. */
export const ROUTES = [
  "/",
  "/discover",
  "/models",
  "/datasets",
  "/training",
  "/training/new",
  "/inference",
  "/cache",
  "/metrics",
  "/settings",
] as const;

export class Shell {
  readonly main: Locator;
  readonly palette: Locator;
  readonly navigation: Locator;

  constructor(private readonly page: Page) {
    this.main = page.getByRole("main");
    this.palette = page.getByRole("dialog", { name: "Command palette" });
    this.navigation = page.getByRole("navigation", { name: "Main" });
  }

  /** The page, ready for keys: only the browser draws the theme switch, and by then everything listens. */
  async open(path: string): Promise<void> {
    await this.page.goto(path);
    await expect(this.main).toBeVisible();
    await this.page.locator('[aria-label="Theme"]').first().waitFor({ state: "attached" });
  }

  async openPalette(): Promise<void> {
    await this.page.keyboard.press("Control+k");
    await expect(this.palette).toBeVisible();
  }

  /** Types into the open palette and takes the first thing found. */
  async choose(text: string): Promise<void> {
    await this.palette.getByRole("combobox").fill(text);
    await expect(this.palette.getByRole("option").first()).toContainText(text);
    await this.page.keyboard.press("Enter");
  }

  /** How far the page is wider than the screen; 0 is right. */
  overflow(): Promise<number> {
    return this.page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      const main = document.querySelector("main");
      return Math.max(scrollWidth - clientWidth, main ? main.scrollWidth - main.clientWidth : 0);
    });
  }
}
