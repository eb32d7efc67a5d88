import { useQuery } from "@tanstack/react-query";
import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { startServer } from "@/testing/http-server";
import { renderApp } from "@/testing/render-app";
import { servedModels } from "./shell-queries";
import { useServing } from "./use-serving";

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*", "access-control-allow-methods": "*" };
const NAME = "org/talker";

/** A server whose list lags behind what it has done, until `catchUp`. */
async function serve({ loadStatus = 200 } = {}) {
  const asked: string[] = [];
  let isListed = false;
  const url = await startServer((request, response) => {
    if (request.method === "OPTIONS") return void response.writeHead(204, CORS).end();
    asked.push(`${request.method} ${decodeURIComponent(request.url ?? "")}`);
    const isPost = request.method === "POST";
    const list = {
      models: { [NAME]: { state: isListed ? "loaded" : "unloaded", loaded: isListed, num_active: isListed ? 1 : 0 } },
    };
    response
      .writeHead(isPost ? loadStatus : 200, { ...CORS, "content-type": "application/json" })
      .end(JSON.stringify(isPost ? { error: { message: "No room.", type: "x", param: null, code: "no_room" } } : list));
  });
  setDeployedURLs({ backend: url, inference: url });
  return { asked, catchUp: () => void (isListed = true) };
}

function Loader() {
  const { data } = useQuery(servedModels);
  const serving = useServing();
  const model = data?.models[NAME];
  return (
    <>
      <button onClick={() => serving.mutate({ name: NAME, verb: "load" })}>Load</button>
      <p>
        {model?.state}, {model?.num_active} active, {serving.status}
      </p>
    </>
  );
}

describe("useServing", () => {
  it("shows a loaded model at once, and asks again when the server lists it too", async () => {
    const { asked, catchUp } = await serve();
    const { user } = renderApp(<Loader />);
    await screen.findByText("unloaded, 0 active, idle");

    await user.click(screen.getByRole("button", { name: "Load" }));
    await screen.findByText("loaded, 0 active, success");
    expect(asked).toEqual(["GET /admin/models", `POST /admin/models/${NAME}/load`]);
    catchUp();

    await screen.findByText("loaded, 1 active, success", {}, { timeout: 30_000 });
  });

  it("leaves the list as it is when the server refuses", async () => {
    await serve({ loadStatus: 409 });
    const { user } = renderApp(<Loader />);
    await screen.findByText("unloaded, 0 active, idle");

    await user.click(screen.getByRole("button", { name: "Load" }));

    await screen.findByText("unloaded, 0 active, error");
  });
});
