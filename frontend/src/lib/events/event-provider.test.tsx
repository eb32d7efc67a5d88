import { useQuery } from "@tanstack/react-query";
import { screen } from "@testing-library/react";
import { type ServerResponse } from "node:http";
import { expect, it } from "vitest";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { keys } from "@/lib/api/query-keys";
import { EventProvider, useEventStream, useFallbackInterval, useHubEvents } from "@/lib/events/event-provider";
import { startServer } from "@/testing/http-server";
import { renderApp } from "@/testing/render-app";

function Probe({ onEvent }: { onEvent: (kind: string) => void }) {
  const { status, reconnect } = useEventStream();
  const interval = useFallbackInterval(3_000);
  useHubEvents((event) => onEvent(event.kind));
  const { data } = useQuery({ queryKey: keys.tasks.detail("t"), queryFn: () => ({ id: "t", progress: 0 }) });
  return (
    <button onClick={reconnect}>
      {status}, polls {String(interval)}, progress {data?.progress}
    </button>
  );
}

it("shows what the stream tells, tells listeners, and lets pages poll while it is away", async () => {
  const open: ServerResponse[] = [];
  const url = await startServer((_request, response) => {
    if (open.length === 1) return void response.writeHead(503).end();
    open.push(response.writeHead(200, { "content-type": "text/event-stream" }));
    response.flushHeaders();
  });
  setDeployedURLs({ backend: url, inference: url });
  const kinds: string[] = [];
  renderApp(
    <EventProvider>
      <Probe onEvent={(kind) => kinds.push(kind)} />
    </EventProvider>,
  );
  await screen.findByText("live, polls false, progress 0");

  const data = JSON.stringify({ subject_id: "t", payload: { id: "t", progress: 0.5 }, created_at: "" });
  open[0]?.write(`id: 1\nevent: task\ndata: ${data}\n\n`);
  await screen.findByText("live, polls false, progress 0.5");
  expect(kinds).toEqual(["task"]);

  open[0]?.destroy();
  await screen.findByText("reconnecting, polls 3000, progress 0.5");
});
