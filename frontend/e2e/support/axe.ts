import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"];

export type Theme = "light" | "dark";
export const THEMES: readonly Theme[] = ["light", "dark"];

/** As the system asks for it; the dashboard follows, unless a person has chosen a theme. */
export async function setTheme(page: Page, theme: Theme): Promise<void> {
  await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
  await expect(page.locator("html")).toHaveClass(new RegExp(`\\b${theme}\\b`));
}

/** No violation of WCAG 2.0 to 2.2, A and AA, in the page as it is now, in both themes. `exclude` is for what others draw. */
export async function expectAccessible(page: Page, { exclude = [] }: { exclude?: string[] } = {}): Promise<void> {
  for (const theme of THEMES) {
    await setTheme(page, theme);
    const builder = exclude.reduce((axe, selector) => axe.exclude(selector), new AxeBuilder({ page }).withTags(TAGS));
    const { violations } = await builder.analyze();
    const told = violations.map(({ id, help, nodes }) => ({
      id,
      help,
      where: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
    }));
    expect(told, `axe, ${theme}, ${page.url()}`).toEqual([]);
  }
}
