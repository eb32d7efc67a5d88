import { describe, expect, it } from "vitest";
import { readAddress, writeAddress } from "./session-url";

describe("readAddress", () => {
  it("reads one model, two models, a conversation and a prompt", () => {
    expect(readAddress("model=org/a")).toEqual({ models: ["org/a"], conversation: null, prompt: null });
    expect(readAddress("models=org/a,facts%40latest").models).toEqual(["org/a", "facts@latest"]);
    expect(readAddress("conversation=abc&prompt=Hello%20there")).toEqual({
      models: [],
      conversation: "abc",
      prompt: "Hello there",
    });
  });

  it("takes at most two, and no empty names", () => {
    expect(readAddress("models=a,,b,c").models).toEqual(["a", "b"]);
    expect(readAddress("model=").models).toEqual([]);
  });
});

describe("writeAddress", () => {
  it("is read back as it was", () => {
    for (const models of [[], ["org/a b&c"], ["org/a", "facts@latest"]]) {
      const address = { models, conversation: "abc" };

      expect(readAddress(writeAddress(address))).toEqual({ ...address, prompt: null });
    }
  });

  it("stays readable", () => {
    expect(writeAddress({ models: ["org/a", "facts@latest"], conversation: null })).toBe("models=org/a,facts@latest");
  });
});
