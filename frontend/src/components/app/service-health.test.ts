import { describe, expect, it } from "vitest";
import { findProblems, summarise } from "./service-health";

describe("summarise", () => {
  it.each([
    ["ok", "ok", { state: "ok", text: "All services OK" }],
    ["ok", "checking", { state: "checking", text: "Checking services" }],
    ["degraded", "checking", { state: "degraded", text: "Backend degraded" }],
    ["degraded", "down", { state: "down", text: "Inference server down" }],
    ["down", "down", { state: "down", text: "Backend, Inference server down" }],
  ] as const)("with the backend %s and the inference server %s tells the worst", (backend, inference, summary) => {
    const services = [
      { name: "Backend", state: backend },
      { name: "Inference server", state: inference },
    ];

    expect(summarise(services)).toEqual(summary);
  });
});

describe("findProblems", () => {
  it("names the checks that fail, with their details", () => {
    const checks = {
      database: { ok: true },
      model_cache: { ok: false, detail: "full" },
      worker: { ok: false, detail: null },
    };

    expect(findProblems(checks)).toEqual([
      { check: "model cache", detail: "full" },
      { check: "worker", detail: null },
    ]);
  });
});
