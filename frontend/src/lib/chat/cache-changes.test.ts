import { describe, expect, it } from "vitest";
import { describeCacheChange, parseCacheChanges } from "./cache-changes";

describe("parseCacheChanges", () => {
  it("reads each span with its place, kind and cost", () => {
    const header = "message=0; role=system; chars=9-19; kind=date; lost_tokens=1310, kind=other; lost_tokens=12";

    expect(parseCacheChanges(header)).toEqual([
      { message: 0, role: "system", kind: "date", lostTokens: 1310 },
      { message: null, role: null, kind: "other", lostTokens: 12 },
    ]);
  });

  it("finds nothing where nothing is said", () => {
    expect(parseCacheChanges(null)).toEqual([]);
    expect(parseCacheChanges("")).toEqual([]);
  });
});

describe("describeCacheChange", () => {
  it("counts messages from one, and names what changed", () => {
    const [first, second] = parseCacheChanges(
      "message=0; role=system; kind=billing_header; lost_tokens=1310, kind=other; lost_tokens=2",
    );

    expect(first && describeCacheChange(first)).toBe(
      "A billing header changed in message 1 (system): 1,310 stored tokens were computed again.",
    );
    expect(second && describeCacheChange(second)).toBe("Text changed in the prompt: 2 stored tokens were computed again.");
  });
});
