import { defineConfig } from "@playwright/test";
import base from "./playwright.config";

/** `npm run pictures`: the pages as the documentation shows them, of a platform with a little work behind it. */
export default defineConfig({ ...base, testDir: "e2e/pictures", testMatch: "*.ts", workers: 1, timeout: 600_000 });
