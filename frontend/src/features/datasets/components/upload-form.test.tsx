import { screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { readBody, startServer } from "@/testing/http-server";
import { renderApp } from "@/testing/render-app";
import { UploadForm } from "./upload-form";

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*", "access-control-expose-headers": "*" };
const PROBLEM = { code: "shutting_down", detail: "The server is shutting down: send it again." };

it("keeps the file and its name when the backend stops meanwhile, and sends them again", async () => {
  const bodies: string[] = [];
  const url = await startServer(async (request, response) => {
    if (request.method === "OPTIONS") return void response.writeHead(204, CORS).end();
    bodies.push(await readBody(request));
    if (bodies.length > 1) response.writeHead(201, CORS).end('{"id": "d1"}');
    else response.writeHead(503, { ...CORS, "retry-after": "5" }).end(JSON.stringify(PROBLEM));
  });
  setDeployedURLs({ backend: url, inference: url });
  const onDone = vi.fn();
  const file = new File(["{}\n"], "facts.jsonl");
  const { user } = renderApp(<UploadForm file={file} onDone={onDone} onSkip={() => {}} skipLabel="Cancel" />);
  await user.clear(screen.getByRole("textbox", { name: "Name" }));
  await user.type(screen.getByRole("textbox", { name: "Name" }), "support");
  await user.click(screen.getByRole("button", { name: "Upload" }));

  const alert = await screen.findByRole("alert", {}, { timeout: 20_000 });
  expect(alert).toHaveTextContent("The server is shutting down: send it again. Try again in 5 s.");
  await user.click(screen.getByRole("button", { name: "Try again" }));

  await vi.waitFor(() => expect(onDone).toHaveBeenCalledWith({ id: "d1" }), { timeout: 20_000 });
  expect(bodies).toHaveLength(2);
  for (const body of bodies) {
    expect(body).toContain('filename="facts.jsonl"');
    expect(body).toContain("support");
  }
});
