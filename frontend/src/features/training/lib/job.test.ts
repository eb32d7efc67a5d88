import { describe, expect, it } from "vitest";
import { configRows, resultRows, runNames, type Run } from "./compare";
import { bestOf, metricNamed, toSeries } from "./curves";
import { describePhase, nextStepOf, possibleActions, type JobDetails } from "./job-state";
import { searchLines } from "./log-lines";
import { chatHref, servedNameOf, type Served } from "./served-name";

const ENDED = { is_cancel_requested: false, model_id: "m", dataset_id: "d" };
const point = (step: number, value: number) => ({ step, value, t: "2026-01-01T00:00:00Z" });

describe("a job's state", () => {
  it.each([
    ["queued", ["canCancel"]],
    ["running", ["canCancel"]],
    ["failed", ["canResume", "canRetry", "canDelete"]],
    ["cancelled", ["canResume", "canRetry", "canDelete"]],
    ["completed", ["canExtend", "canRetry", "canDelete"]],
  ] as const)("%s allows %j", (status, allowed) => {
    const found = Object.entries(possibleActions({ ...ENDED, status })).filter(([, isAllowed]) => isAllowed);
    expect(found.map(([name]) => name).sort()).toEqual([...allowed].sort());
  });

  it("is cancelled once", () => {
    expect(possibleActions({ ...ENDED, status: "running", is_cancel_requested: true }).canCancel).toBe(false);
  });

  it("cannot go on without its model or dataset", () => {
    const can = possibleActions({ ...ENDED, status: "failed", dataset_id: null });
    expect([can.canResume, can.canRetry, can.canDelete]).toEqual([false, false, true]);
  });

  it("says its place in the queue, what it does, and that it stops", () => {
    const job = { phase: "training", is_cancel_requested: false, queue_position: null };
    expect(describePhase({ ...job, status: "queued", queue_position: 3 })).toBe("Queued, place 3");
    expect(describePhase({ ...job, status: "running" })).toBe("Training");
    expect(describePhase({ ...job, status: "running", is_cancel_requested: true })).toBe("Stopping");
    expect(describePhase({ ...job, status: "completed" })).toBeUndefined();
  });

  it("says what to do about a failure", () => {
    expect(nextStepOf({ error_code: "nan_loss", exit_signal: null })).toContain("lower learning rate");
    expect(nextStepOf({ error_code: "failed", exit_signal: 9 })).toContain("memory");
    expect(nextStepOf({ error_code: "failed", exit_signal: null })).toContain("log");
  });
});

describe("curves", () => {
  const curves = { val_loss: [point(5, 2), point(10, 1), point(15, 1.5)] };

  it("become series, empty for what was not measured", () => {
    expect(toSeries(curves, metricNamed("val_loss"))).toMatchObject({ key: "val_loss", x: [5, 10, 15], y: [2, 1, 1.5] });
    expect(toSeries(curves, metricNamed("train_loss")).x).toEqual([]);
  });

  it("have a best value", () => {
    expect(bestOf(curves, "val_loss")).toEqual({ value: 1, step: 10 });
    expect(bestOf(undefined, "val_loss")).toBeNull();
  });
});

describe("runs side by side", () => {
  const run = (id: string, config: object): Run => ({
    job: { id, name: "run", model_name: "m", dataset_name: "d", config, num_steps: 0 } as JobDetails,
    curves: undefined,
  });
  const runs = [run("aaaaaa111111", { epochs: 3, seed: 1 }), run("bbbbbb222222", { epochs: 5, seed: 1 })];

  it("differ where their settings do", () => {
    const different = configRows(runs).filter(({ differs }) => differs);
    expect(different).toEqual([{ key: "epochs", label: "Epochs", values: ["3", "5"], differs: true }]);
  });

  it("show -- for what is not known", () => {
    expect(resultRows(runs).find(({ key }) => key === "best")?.values).toEqual(["--", "--"]);
  });

  it("of one name are told apart", () => {
    expect(runNames(runs.map(({ job }) => job))).toEqual(["run (111111)", "run (222222)"]);
  });
});

describe("the log", () => {
  it("is searched in any case and keeps its numbers", () => {
    expect(searchLines(["Step 1", "saved", "step 2"], "STEP")).toEqual([
      { number: 1, text: "Step 1" },
      { number: 3, text: "step 2" },
    ]);
  });
});

describe("the served name of a version", () => {
  const models = {
    "facts@latest": { base: "org/base" },
    "facts@champion": { base: "org/base" },
    "my-facts-0123456789ab@latest": { base: "org/base" },
  } as unknown as Served;

  it("is that of its newest alias", () => {
    expect(servedNameOf(models, { name: "facts", id: "x", aliases: ["champion", "latest"] })).toBe("facts@latest");
  });

  it("is found for names that were replaced", () => {
    const id = "01234567-89ab-4000-8000-000000000000";
    expect(servedNameOf(models, { name: "my facts!", id, aliases: ["latest"] })).toBe("my-facts-0123456789ab@latest");
  });

  it("is none without an alias or without the server", () => {
    expect(servedNameOf(models, { name: "facts", id: "x", aliases: [] })).toBeNull();
    expect(servedNameOf(undefined, { name: "facts", id: "x", aliases: ["latest"] })).toBeNull();
  });

  it("leads to a chat beside its base", () => {
    expect(chatHref(models, "facts@latest")).toBe("/inference?models=org%2Fbase,facts%40latest");
  });
});
