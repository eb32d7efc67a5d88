/**
 * Says whether package-lock.json serves every platform: each optional dependency of a locked package, such as the native
 * binding for another operating system, needs its own entry. A lock written where a registry lacked one omits it silently.
 */
import { readFileSync } from "node:fs";

const REQUIRED_ON_MACS = [
  "@next/swc-darwin-arm64",
  "@tailwindcss/oxide-darwin-arm64",
  "@unrs/resolver-binding-darwin-arm64",
  "lightningcss-darwin-arm64",
];

const { packages } = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8"));
const paths = Object.keys(packages);

/** Looks a name up as Node does: in the dependant's own node_modules, then in each folder above it. */
function isLocked(dependant, name) {
  let folder = dependant;
  for (;;) {
    if (`${folder ? `${folder}/` : ""}node_modules/${name}` in packages) return true;
    if (!folder) return false;
    folder = folder.includes("/node_modules/") ? folder.slice(0, folder.lastIndexOf("/node_modules/")) : "";
  }
}

const missing = paths.flatMap((path) =>
  Object.keys(packages[path].optionalDependencies ?? {})
    .filter((name) => !isLocked(path, name))
    .map((name) => `${path} → ${name}`),
);
missing.push(...REQUIRED_ON_MACS.filter((name) => !(`node_modules/${name}` in packages)));

if (missing.length) {
  console.error(`package-lock.json lacks ${missing.length} optional packages:\n  ${missing.join("\n  ")}`);
  process.exit(1);
}
console.log(`package-lock.json: ${paths.length} packages, every optional dependency has an entry.`);
