/** `test` and `expect` of this suite: pages begin at the running dashboard, and a console error fails the test. */
import { test as base, expect } from "@playwright/test";
import { Shell } from "../pages/shell";
import { Seed } from "./seed";
import { getStack, type Stack } from "./stack";
import { Wire } from "./wire";

export interface ConsoleGuard {
  /** Errors that match belong to what this test does, such as a service that is down. */
  allow: (pattern: RegExp) => void;
}

interface Fixtures {
  stack: Stack;
  seed: Seed;
  shell: Shell;
  consoleGuard: ConsoleGuard;
  /** Puts a wire before a service and lets the dashboard use it, from the next page load on. */
  wireTo: (service: "backend" | "inference") => Promise<Wire>;
}

export const test = base.extend<Fixtures>({
  stack: async ({}, provide) => provide(getStack()),
  baseURL: async ({ stack }, provide) => provide(stack.dashboard),
  seed: async ({ request, stack }, provide) => provide(new Seed(request, stack)),
  shell: async ({ page }, provide) => provide(new Shell(page)),

  consoleGuard: [
    async ({ page }, provide) => {
      const errors: string[] = [];
      const allowed: RegExp[] = [];
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(`${message.text()} (${message.location().url})`);
      });
      page.on("pageerror", (error) => errors.push(`${error.name}: ${error.message}\n${error.stack ?? ""}`));
      await provide({ allow: (pattern) => allowed.push(pattern) });
      const unexpected = errors.filter((error) => !allowed.some((pattern) => pattern.test(error)));
      expect(unexpected, "console errors").toEqual([]);
    },
    { auto: true },
  ],

  wireTo: async ({ page, stack }, provide) => {
    const wires: Wire[] = [];
    await provide(async (service) => {
      const wire = new Wire(new URL(stack[service]));
      await wire.restore();
      wires.push(wire);
      const field = service === "backend" ? "backendUrl" : "inferenceUrl";
      await page.addInitScript(
        ([name, url]) => {
          const key = "mlx-hub.settings";
          const stored = JSON.parse(localStorage.getItem(key) ?? "{}") as Record<string, unknown>;
          localStorage.setItem(key, JSON.stringify({ ...stored, [name as string]: url }));
        },
        [field, wire.url],
      );
      return wire;
    });
    await Promise.all(wires.map((wire) => wire.cut()));
  },
});

export { expect };
