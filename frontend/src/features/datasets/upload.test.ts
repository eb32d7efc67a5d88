import { expect, it } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { isAbort } from "@/lib/api/errors";
import { type Handler, readBody, startServer } from "@/testing/http-server";
import { sendDataset } from "./upload";

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
const UPLOAD = { file: new File(["{}\n"], "facts.jsonl"), name: "facts", description: "", columns: { prompt: "asked" } };

async function serve(handler: Handler): Promise<void> {
  const url = await startServer((request, response) => {
    if (request.method === "OPTIONS") response.writeHead(204, CORS).end();
    else return handler(request, response);
  });
  setDeployedURLs({ backend: url, inference: url });
}

const send = (signal = new AbortController().signal) => sendDataset(UPLOAD, { onProgress: () => {}, signal });

it("sends the file with its name and columns, and gives the dataset", async () => {
  let body = "";
  await serve(async (request, response) => {
    body = await readBody(request);
    response.writeHead(201, { ...CORS, "content-type": "application/json" }).end('{"id": "d1"}');
  });

  expect(await send()).toEqual({ id: "d1" });
  expect(body).toContain('name="prompt_column"\r\n\r\nasked');
  expect(body).toContain('filename="facts.jsonl"');
  expect(body).not.toContain('name="description"');
});

it("says what the backend objects to", async () => {
  await serve(async (request, response) => {
    await readBody(request);
    const problem = { code: "conflict", detail: "The name is taken.", errors: [{ field: "name", message: "taken" }] };
    response.writeHead(409, { ...CORS, "content-type": "application/problem+json" }).end(JSON.stringify(problem));
  });

  await expect(send()).rejects.toMatchObject({ status: 409, code: "conflict", message: "The name is taken.", field: "name" });
});

it("ends when it is cancelled", async () => {
  const controller = new AbortController();
  await serve(() => controller.abort());

  await expect(send(controller.signal)).rejects.toSatisfy(isAbort);
});
