// @vitest-environment node
import { describe, expect, it } from "vitest";
import type { Backend } from "@/lib/api/client";
import { contextBytes, describeNeed, explainFit } from "./fit";

const GB = 1e9;

function model(rest: Partial<Backend<"HubModelDetails">>) {
  const known = { fits: "yes", memory_bytes: 5 * GB, machine_memory_bytes: 20 * GB, kv_cache_bytes: GB, context_tokens: 4096 };
  return { ...known, ...rest } as Backend<"HubModelDetails">;
}

describe("the verdict's numbers", () => {
  it.each([
    [{}, "Needs about 5 GB with a context of 4,096 tokens, 25% of this machine's 20 GB."],
    [{ memory_bytes: 4e6, kv_cache_bytes: null }, "Needs about 4 MB, little of this machine's 20 GB."],
    [
      { fits: "tight", memory_bytes: 14 * GB },
      "Needs about 14 GB with a context of 4,096 tokens, 70% of this machine's 20 GB. Close other programs first.",
    ],
    [
      { fits: "no", memory_bytes: 40 * GB },
      "Needs about 40 GB with a context of 4,096 tokens. This machine has 20 GB, so it will not load.",
    ],
    [{ fits: null, memory_bytes: 0 }, "The hub does not say how large its weights are."],
  ] as const)("of %o are told", (rest, text) => expect(explainFit(model(rest))).toBe(text));

  it("are left out where either is unknown", () => {
    expect([describeNeed(null, GB), describeNeed(GB, null), describeNeed(GB, 4 * GB)]).toEqual([null, null, "1 of 4 GB"]);
  });
});

it("a longer context takes its share more, and nothing is made up without a config", () => {
  expect(contextBytes(model({}), 16_384)).toBe(4 * GB);
  expect(contextBytes(model({ kv_cache_bytes: null }), 16_384)).toBeNull();
});
