import { describe, expect, it } from "vitest";
import { STATIC_ACTIONS } from "./actions";
import { scoreMatch } from "./match";

function best(typed: string): string | undefined {
  return STATIC_ACTIONS.map(({ title, keywords }) => ({ title, score: scoreMatch(typed, title, keywords) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .map(({ title }) => title)[0];
}

describe("scoreMatch", () => {
  it.each([
    ["mod", "Models"],
    ["MODELS", "Models"],
    ["ntj", "New training job"],
    ["job new", "New training job"],
    ["gpu", "Metrics"],
    ["chat", "Playground"],
    ["dark", "Dark theme"],
    ["hugging", "Discover"],
  ])("finds by %j first %j", (typed, title) => {
    expect(best(typed)).toBe(title);
  });

  it("finds nothing for what no action speaks of", () => {
    expect(best("zebra")).toBeUndefined();
  });

  it("wants every word", () => {
    expect(scoreMatch("training zebra", "New training job")).toBe(0);
  });

  it("puts a title that starts so before one that has it inside", () => {
    expect(scoreMatch("train", "Training")).toBeGreaterThan(scoreMatch("train", "New training job"));
    expect(scoreMatch("4bit", "Qwen3-0.6B-4bit")).toBeGreaterThan(scoreMatch("bit", "Qwen3-0.6B-4bit"));
  });

  it("takes letters in order as the last resort", () => {
    expect(scoreMatch("qw06", "Qwen3-0.6B-4bit")).toBeGreaterThan(0);
    expect(scoreMatch("60wq", "Qwen3-0.6B-4bit")).toBe(0);
  });

  it("reads accented letters as plain ones", () => {
    expect(scoreMatch("resume", "Résumé model")).toBeGreaterThan(0.5);
  });
});
