import path from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
    plugins: [react()],
    resolve: { alias: { "@": path.resolve(import.meta.dirname, "src") } },
    test: {
        environment: "jsdom",
        include: ["src/**/*.test.{ts,tsx}"],
        setupFiles: ["./src/testing/setup.ts"],
        restoreMocks: true,
        testTimeout: 30_000,
        coverage: { include: ["src/lib/**", "src/features/*/lib/**"] },
    },
});
