/**
 * Serves the build. Port: MLX_DASHBOARD_PORT, else PORT, else 3005. Listens on this machine only, unless MLX_DASHBOARD_HOST names another address.
 */
import { existsSync } from "node:fs";

const server = new URL("../.next/standalone/server.js", import.meta.url);
if (!existsSync(server)) {
  console.error("There is no build yet: run `npm run build` first.");
  process.exit(2);
}
process.env.PORT = process.env.MLX_DASHBOARD_PORT || process.env.PORT || "3005";
process.env.HOSTNAME = process.env.MLX_DASHBOARD_HOST || "127.0.0.1";
await import(server.href);
