/**
 * Writes the types of both services' APIs from openapi/*.json; with --check it only says whether they are in step (exit 1 when not).
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");
let status = 0;
for (const service of ["backend", "inference"]) {
  const args = [`openapi/${service}.json`, "-o", `src/lib/api/${service}.d.ts`];
  const options = ["--default-non-nullable", "false", ...(check ? ["--check"] : [])];
  const run = spawnSync("npx", ["openapi-typescript", ...args, ...options], { cwd: root, stdio: "inherit" });
  status ||= run.status ?? 1;
}
process.exit(status);
