/**
 * Fails when a route loads more script or style at first than its budget: gzip bytes of the layout's and the page's files together,
 * from the app build manifest. Next's own table leaves the layout out.
 */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const SCRIPT_BUDGET = 190 * 1024;
const STYLE_BUDGET = 15 * 1024;

const build = new URL("../.next/", import.meta.url);
const { pages } = JSON.parse(readFileSync(new URL("app-build-manifest.json", build), "utf8"));
const sizes = new Map();

function gzipBytes(file) {
  if (!sizes.has(file)) sizes.set(file, gzipSync(readFileSync(new URL(file, build))).length);
  return sizes.get(file);
}

/** The layouts above a page: every "/…/layout" entry whose folder holds it. */
function layoutsOf(page) {
  return Object.keys(pages).filter((key) => key.endsWith("/layout") && page.startsWith(key.slice(0, -"layout".length)));
}

const sum = (files, extension) =>
  files.filter((file) => file.endsWith(extension)).reduce((total, file) => total + gzipBytes(file), 0);

let failed = false;
for (const page of Object.keys(pages)
  .filter((key) => key.endsWith("/page"))
  .sort()) {
  const files = [...new Set([page, ...layoutsOf(page)].flatMap((key) => pages[key]))];
  const script = sum(files, ".js");
  const style = sum(files, ".css");
  const over = script > SCRIPT_BUDGET || style > STYLE_BUDGET;
  failed ||= over;
  console.log(
    `${over ? "✗" : "✓"} ${page.slice(0, -5) || "/"}: ${(script / 1024).toFixed(1)} KB script, ${(style / 1024).toFixed(1)} KB style`,
  );
}
if (failed) {
  console.error(`Budget of a route at first load, gzip: ${SCRIPT_BUDGET / 1024} KB script, ${STYLE_BUDGET / 1024} KB style.`);
  process.exit(1);
}
