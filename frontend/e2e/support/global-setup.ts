import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { findStack, STACK_FILE } from "./stack";

const FRONTEND = path.resolve(import.meta.dirname, "../..");
const PYTHON = path.resolve(FRONTEND, "../backend/.venv/bin/python");
const START_MS = 300_000;
const STOP_MS = 60_000;

/** A running platform, built from the present sources; the returned function stops it, unless it was there before. */
export default async function globalSetup(): Promise<() => Promise<void>> {
  if (findStack()) return async () => {};
  buildIfStale();
  const stack = spawn(PYTHON, ["-P", path.join(FRONTEND, "e2e/stack.py"), "--file", STACK_FILE], { stdio: "inherit" });
  const ended = new Promise<void>((resolve) => stack.once("exit", () => resolve()));
  const deadline = Date.now() + START_MS;
  while (findStack()?.pid !== stack.pid) {
    if (stack.exitCode !== null) throw new Error(`The platform did not start: status ${stack.exitCode}.`);
    if (Date.now() > deadline) {
      stack.kill("SIGTERM");
      throw new Error(`The platform was not ready after ${START_MS / 1000} s.`);
    }
    await pause(200);
  }
  return async () => {
    stack.kill("SIGTERM");
    await Promise.race([ended, pause(STOP_MS).then(() => stack.kill("SIGKILL"))]);
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** The tests see what is served, so an old build would test an old dashboard. */
function buildIfStale(): void {
  const built = path.join(FRONTEND, ".next/BUILD_ID");
  const sources = ["src", "public", "package-lock.json", "next.config.ts", "postcss.config.mjs"];
  const newest = Math.max(...sources.map((name) => newestChange(path.join(FRONTEND, name))));
  if (existsSync(built) && statSync(built).mtimeMs > newest) return;
  const { status } = spawnSync("npm", ["run", "build"], { cwd: FRONTEND, stdio: "inherit" });
  if (status !== 0) throw new Error("The dashboard could not be built.");
}

function newestChange(file: string): number {
  if (!existsSync(file)) return 0;
  const own = statSync(file);
  if (!own.isDirectory()) return own.mtimeMs;
  return Math.max(own.mtimeMs, ...readdirSync(file).map((name) => newestChange(path.join(file, name))));
}
