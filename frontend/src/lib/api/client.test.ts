import { describe, expect, it } from "vitest";
import { backend, inference, unwrap, unwrapWithResponse } from "@/lib/api/client";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { settings } from "@/lib/storage/settings";
import { readBody, startServer, type Handler } from "@/testing/http-server";

async function serve(handler: Handler): Promise<string> {
  const url = await startServer(handler);
  setDeployedURLs({ backend: url, inference: url });
  settings.reset();
  return url;
}

describe("unwrap", () => {
  it("gives the body, and sends an id that the service can log", async () => {
    const seen: { url?: string; id?: string; key?: string }[] = [];
    await serve((request, response) => {
      const { headers } = request;
      seen.push({ url: request.url, id: String(headers["x-request-id"]), key: headers.authorization });
      response.setHeader("content-type", "application/json").end('{"items":[],"total":0,"page":2,"page_size":20}');
    });

    const page = await unwrap(backend().GET("/api/v1/models", { params: { query: { page: 2 } } }));

    expect(page.page).toBe(2);
    expect(seen).toEqual([{ url: "/api/v1/models?page=2", id: expect.stringMatching(/^[0-9a-f]{24}$/), key: undefined }]);
  });

  it("sends the key to both services", async () => {
    const keys: (string | undefined)[] = [];
    await serve((request, response) => {
      keys.push(request.headers.authorization);
      response.setHeader("content-type", "application/json").end("{}");
    });
    settings.set({ apiKey: "secret" });

    await unwrap(inference().GET("/v1/models"));
    await unwrap(backend().GET("/health"));

    expect(keys).toEqual(["Bearer secret", "Bearer secret"]);
  });

  it("asks where Settings says, from the next request on", async () => {
    await serve((_request, response) => {
      response.setHeader("content-type", "application/json").end('{"at":"first"}');
    });
    const other = await startServer((_request, response) => {
      response.setHeader("content-type", "application/json").end('{"at":"other"}');
    });

    settings.set({ backendUrl: `${other}/` });

    expect(await unwrap(backend().GET("/health"))).toEqual({ at: "other" });
  });

  it("keeps a slash in a model's name inside its part of the path", async () => {
    let path = "";
    await serve((request, response) => {
      path = request.url ?? "";
      response.setHeader("content-type", "application/json").end("{}");
    });

    await unwrap(inference().POST("/admin/models/{name}/load", { params: { path: { name: "org/talker" } } }));

    expect(path).toBe("/admin/models/org%2Ftalker/load");
  });

  it("sends a body as JSON", async () => {
    let body = "";
    await serve(async (request, response) => {
      body = await readBody(request);
      response.writeHead(201, { "content-type": "application/json" }).end("{}");
    });

    await unwrap(backend().POST("/api/v1/models", { body: { name: "a", base_model: "b" } }));

    expect(JSON.parse(body)).toEqual({ name: "a", base_model: "b" });
  });

  it("gives nothing for an answer without a body", async () => {
    await serve((_request, response) => void response.writeHead(204).end());

    const answer = backend().DELETE("/api/v1/models/{model_id}", { params: { path: { model_id: "1" } } });

    expect(await unwrap(answer)).toBeUndefined();
  });

  it("gives headers where they are asked for", async () => {
    await serve((_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "x-cache": "hit" }).end("{}");
    });

    const { response } = await unwrapWithResponse(inference().GET("/v1/models"));

    expect(response.headers.get("x-cache")).toBe("hit");
  });

  it("throws the problem that the backend tells", async () => {
    await serve((_request, response) => {
      const problem = {
        detail: "lora_rank must be positive.",
        code: "invalid_input",
        errors: [{ field: "config.lora_rank", message: "must be positive" }],
      };
      response.writeHead(422, { "content-type": "application/problem+json", "x-request-id": "r1" });
      response.end(JSON.stringify(problem));
    });

    await expect(unwrap(backend().GET("/health"))).rejects.toMatchObject({
      name: "ApiError",
      service: "backend",
      status: 422,
      code: "invalid_input",
      field: "config.lora_rank",
      requestId: "r1",
    });
  });

  it("says which service does not answer, and where", async () => {
    setDeployedURLs({ backend: "http://127.0.0.1:1", inference: "http://127.0.0.1:1" });

    await expect(unwrap(backend().GET("/health"))).rejects.toMatchObject({
      code: "unreachable",
      status: null,
      message: expect.stringContaining("The backend at http://127.0.0.1:1 does not answer. Start it with `make start`"),
    });
  });

  it("tells an answer that breaks off from no answer", async () => {
    await serve((_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
      response.write('{"items":');
      setTimeout(() => response.destroy(), 20);
    });

    await expect(unwrap(backend().GET("/api/v1/models"))).rejects.toMatchObject({ code: "connection_lost" });
  });

  it("leaves an abort an abort", async () => {
    await serve(() => {});
    const stop = new AbortController();
    const answer = unwrap(backend().GET("/health", { signal: stop.signal }));

    stop.abort();

    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
  });
});
