/** Where the running platform answers; `e2e/stack.py` writes it. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

export interface Stack {
  dashboard: string;
  backend: string;
  inference: string;
  hub: string;
  /** The scratch folder, with the logs. */
  home: string;
  pid: number;
}

export const STACK_FILE = path.resolve(import.meta.dirname, "..", process.env.STACK_FILE || ".stack.json");

/** Null while no stack is ready. */
export function findStack(): Stack | null {
  if (!existsSync(STACK_FILE)) return null;
  const stack = JSON.parse(readFileSync(STACK_FILE, "utf8")) as Stack;
  try {
    process.kill(stack.pid, 0);
  } catch {
    return null;
  }
  return stack;
}

export function getStack(): Stack {
  const stack = findStack();
  if (!stack) throw new Error(`No platform is running: ${STACK_FILE} is absent or stale.`);
  return stack;
}
