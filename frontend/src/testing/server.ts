/**
 * Answers of both services for tests of components: `server.use(http.get(backendURL("/models"), () => HttpResponse.json(…)))`.
 * Import it from a test file and it listens; a request that nobody answers fails the test.
 */
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll } from "vitest";
import { serviceURL } from "@/lib/api/endpoints";

export const server = setupServer();

beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

export function backendURL(path: string): string {
  return `${serviceURL("backend")}/api/v1${path}`;
}

export function inferenceURL(path: string): string {
  return `${serviceURL("inference")}${path}`;
}
