/** Puts the files that browsers fetch beside the standalone server, which `next build` leaves to us. */
import { cpSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const server = `${root}.next/standalone`;

for (const [from, to] of [
  [`${root}.next/static`, `${server}/.next/static`],
  [`${root}public`, `${server}/public`],
]) {
  if (!existsSync(from)) continue;
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
}

// Last of all: `make start` builds again when a source is newer than this file.
writeFileSync(`${root}.next/finished`, "");
