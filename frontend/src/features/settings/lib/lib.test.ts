import { describe, expect, test } from "vitest";
import { readAddress } from "./address";
import { parseDefaults } from "./playground-defaults";
import { identify } from "./test-endpoint";

describe("readAddress", () => {
  test("takes slashes from the end; nothing means as deployed", () => {
    expect(readAddress(" http://mac.local:8002// ")).toEqual({ url: "http://mac.local:8002", error: null });
    expect(readAddress("  ")).toEqual({ url: null, error: null });
  });

  test.each(["localhost:8002", "ftp://host", "http://", "8002"])("%s is told to be no address", (text) => {
    expect(readAddress(text)).toEqual({ url: null, error: expect.stringContaining("such as") as string });
  });
});

describe("identify", () => {
  test("tells the services apart, and both from strangers", () => {
    expect(identify({ status: "ok", version: "1", checks: {} })).toEqual({ service: "backend", version: "1" });
    expect(identify({ status: "ok", version: "2" })).toEqual({ service: "inference", version: "2" });
    expect(identify({ hello: "world" })).toBeNull();
    expect(identify("text")).toBeNull();
  });
});

describe("parseDefaults", () => {
  test("an empty field is the server's default", () => {
    expect(parseDefaults({ temperature: "", maxTokens: " " })).toEqual({
      values: { temperature: null, maxTokens: null },
      errors: {},
    });
  });

  test("numbers within their bounds are taken", () => {
    expect(parseDefaults({ temperature: "0", maxTokens: "512" }).values).toEqual({ temperature: 0, maxTokens: 512 });
  });

  test.each([
    [{ temperature: "2.1", maxTokens: "1" }, "temperature"],
    [{ temperature: "warm", maxTokens: "1" }, "temperature"],
    [{ temperature: "1", maxTokens: "1.5" }, "maxTokens"],
    [{ temperature: "1", maxTokens: "0" }, "maxTokens"],
  ])("%o is told where it is wrong", (draft, field) => {
    expect(Object.keys(parseDefaults(draft).errors)).toEqual([field]);
  });
});
