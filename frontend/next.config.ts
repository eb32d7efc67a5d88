import path from "node:path";
import type { NextConfig } from "next";
import { PHASE_DEVELOPMENT_SERVER } from "next/constants";

export default function config(phase: string): NextConfig {
  return {
    // Its own folder, as in Next 16, so that `npm run dev` does not spoil the build that is being served.
    distDir: phase === PHASE_DEVELOPMENT_SERVER ? ".next-dev" : ".next",
    output: "standalone",
    // The folder that holds the lock file, so that a lock file further up does not move the build's root.
    outputFileTracingRoot: path.resolve(import.meta.dirname),
    // Lint is a step of its own (`npm run lint`).
    eslint: { ignoreDuringBuilds: true },
    reactStrictMode: true,
    poweredByHeader: false,
    devIndicators: false,
    experimental: { optimizePackageImports: ["radix-ui"] },
  };
}
