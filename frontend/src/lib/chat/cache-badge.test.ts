// @vitest-environment node
import { describe, expect, it } from "vitest";
import { describeCache, explainReason } from "@/lib/chat/cache-badge";
import { readCacheReport, type CacheReport } from "@/lib/chat/chat-events";

const HIT: CacheReport = {
  outcome: "hit",
  cachedTokens: 1204,
  tier: null,
  isExact: true,
  reason: null,
  changes: null,
  suggestion: null,
  isReplayed: false,
};

describe("describeCache", () => {
  it("tells how much of the prompt was reused", () => {
    expect(describeCache(HIT, 1260)).toEqual({
      label: "Hit",
      summary: "1,204 of 1,260 prompt tokens reused",
      explanation: null,
    });
    expect(describeCache(HIT, null).summary).toBe("1,204 prompt tokens reused");
    expect(describeCache({ ...HIT, tier: "disk" }, null).summary).toBe("1,204 prompt tokens reused, from disk");
  });

  it("tells why not, or how exact", () => {
    const miss = { ...HIT, outcome: "miss", cachedTokens: 0, isExact: null, reason: "cold" } as const;
    expect(describeCache(miss, 10)).toMatchObject({ label: "Miss", explanation: expect.stringContaining("Nothing like") });
    expect(describeCache({ ...HIT, isExact: false }, 10).explanation).toContain("last bits");
    expect(describeCache({ ...HIT, outcome: "off" }, 10).summary).toBe("The prompt cache was not used.");
    expect(describeCache({ ...HIT, isReplayed: true }, 10).label).toBe("Replayed");
  });
});

it.each([
  ["diverged; token=1412; message=1", "Stored prompts begin alike and differ at token 1,412, in message 2."],
  ["diverged; token=3", "Stored prompts begin alike and differ at token 3."],
  ["diverged", "Stored prompts begin alike and differ."],
  ["evicted", "It was stored and had to make room for others."],
  ["something new", "something new"],
])("%s is explained", (reason, text) => expect(explainReason(reason)).toBe(text));

describe("readCacheReport", () => {
  it("reads the headers", () => {
    const headers = new Headers({
      "x-cache": "partial",
      "x-cache-tokens": "7",
      "x-cache-exact": "false",
      "x-cache-tier": "disk",
      "x-cache-volatile": "message=0; kind=date",
      "x-cache-suggestion": "current_date=move",
      "x-response-cache": "hit",
    });
    expect(readCacheReport(headers)).toEqual({
      outcome: "partial",
      cachedTokens: 7,
      tier: "disk",
      isExact: false,
      reason: null,
      changes: "message=0; kind=date",
      suggestion: "current_date=move",
      isReplayed: true,
    });
  });

  it("knows nothing where nothing is said", () => {
    expect(readCacheReport(new Headers())).toBeNull();
    expect(readCacheReport(new Headers({ "x-cache": "strange" }))).toBeNull();
    expect(readCacheReport(new Headers({ "x-cache": "miss" }))).toMatchObject({ cachedTokens: 0, isExact: null });
  });
});
