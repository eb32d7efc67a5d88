// @vitest-environment node
import { QueryClient } from "@tanstack/react-query";
import { beforeEach, describe, expect, it } from "vitest";
import { keys } from "@/lib/api/query-keys";
import { applyEvents, refetchAll } from "@/lib/events/apply-events";
import { type HubEvent } from "@/lib/events/hub-event";

let client: QueryClient;

beforeEach(() => {
  client = new QueryClient();
});

function told(kind: HubEvent["kind"], subjectId: string, payload: object): HubEvent {
  return { kind, subjectId, payload, createdAt: "2026-01-01T00:00:00Z" } as HubEvent;
}

function pageOf(...items: object[]) {
  return { items, total: items.length, page: 1, page_size: 20 };
}

function isStale(queryKey: readonly unknown[]): boolean | undefined {
  return client.getQueryState(queryKey)?.isInvalidated;
}

const LIST = keys.training.list({ page: 1 });

describe("a job's event", () => {
  it("changes its row in lists and details, and keeps what only the details have", () => {
    client.setQueryData(LIST, pageOf({ id: "a", status: "running", step: 1 }, { id: "b", status: "queued", step: 0 }));
    client.setQueryData(keys.training.detail("a"), { id: "a", status: "running", step: 1, preflight: { rows: 4 } });

    applyEvents(client, [told("job", "a", { id: "a", status: "running", step: 2 })]);

    expect(client.getQueryData(LIST)).toEqual(
      pageOf({ id: "a", status: "running", step: 2 }, { id: "b", status: "queued", step: 0 }),
    );
    expect(client.getQueryData(keys.training.detail("a"))).toEqual({
      id: "a",
      status: "running",
      step: 2,
      preflight: { rows: 4 },
    });
    expect(isStale(LIST)).toBe(false);
  });

  it("lets lists be fetched anew when the job is new to them or has another status", () => {
    const other = keys.training.list({ status: ["running"] });
    client.setQueryData(LIST, pageOf({ id: "a", status: "queued" }));
    client.setQueryData(other, pageOf());

    applyEvents(client, [told("job", "a", { id: "a", status: "running" })]);

    expect([isStale(LIST), isStale(other)]).toEqual([true, true]);
  });

  it("does not make up what was never fetched", () => {
    applyEvents(client, [told("job", "a", { id: "a", status: "running" })]);

    expect(client.getQueryData(keys.training.detail("a"))).toBeUndefined();
  });

  it("has models fetched anew when it is completed", () => {
    client.setQueryData(keys.models.list({}), pageOf());
    client.setQueryData(keys.served.admin, {});

    applyEvents(client, [told("job", "a", { id: "a", status: "completed" })]);

    expect([isStale(keys.models.list({})), isStale(keys.served.admin)]).toEqual([true, true]);
  });
});

it("new points of a metric join the curve", () => {
  client.setQueryData(keys.training.metrics("a"), { series: { train_loss: [{ step: 1, value: 2, t: "x" }] } });

  applyEvents(client, [told("metrics", "a", { job_id: "a", points: [{ step: 2, t: 0, train_loss: 1 }] })]);

  expect(client.getQueryData(keys.training.metrics("a"))).toEqual({
    series: {
      train_loss: [
        { step: 1, value: 2, t: "x" },
        { step: 2, value: 1, t: "1970-01-01T00:00:00.000Z" },
      ],
    },
  });
});

it("points of a curve that nobody looks at are dropped", () => {
  applyEvents(client, [told("metrics", "a", { job_id: "a", points: [{ step: 2, t: 0, train_loss: 1 }] })]);

  expect(client.getQueryData(keys.training.metrics("a"))).toBeUndefined();
});

it("the machine's readings follow", () => {
  client.setQueryData(keys.system.state, { version: "1", host: { cpu_percent: 1 } });

  applyEvents(client, [told("system", "m", { cpu_percent: 50 })]);

  expect(client.getQueryData(keys.system.state)).toEqual({ version: "1", host: { cpu_percent: 50 } });
});

it.each([
  ["download", { id: "a", status: "ready" }, [keys.models.list({}), keys.served.models, keys.downloads.usage]],
  ["task", { id: "a", status: "completed" }, [keys.models.list({}), keys.downloads.usage]],
  ["model", { id: "a" }, [keys.models.versions("a"), keys.models.aliases("a"), keys.served.models]],
] as const)("a %s that is done has what depends on it fetched anew", (kind, payload, stale) => {
  for (const queryKey of stale) client.setQueryData(queryKey, pageOf());

  applyEvents(client, [told(kind, "a", payload)]);

  expect(stale.map(isStale)).toEqual(stale.map(() => true));
});

it("a deleted dataset leaves the cache, and lists are fetched anew", () => {
  client.setQueryData(keys.datasets.detail("a"), { id: "a" });
  client.setQueryData(keys.datasets.list({}), pageOf({ id: "a" }));

  applyEvents(client, [told("dataset", "a", { id: "a", is_deleted: true })]);

  expect(client.getQueryData(keys.datasets.detail("a"))).toBeUndefined();
  expect(isStale(keys.datasets.list({}))).toBe(true);
});

it("after a gap everything that follows the stream is fetched anew, and nothing else", () => {
  client.setQueryData(LIST, pageOf());
  client.setQueryData(keys.discover.popular, pageOf());

  refetchAll(client);

  expect([isStale(LIST), isStale(keys.discover.popular)]).toEqual([true, false]);
});
