import { describe, expect, it } from "vitest";
import { EXAMPLE_SCHEMA, EXAMPLE_TOOLS } from "./json-input";
import { checkNumber, countChanged, DEFAULT_PARAMETERS, findProblem, readParameters, toWireParameters } from "./parameters";

describe("toWireParameters", () => {
  it("sends nothing that was not set", () => {
    expect(toWireParameters(DEFAULT_PARAMETERS)).toEqual({});
  });

  it("sends exact numbers, zero included", () => {
    const parameters = { ...DEFAULT_PARAMETERS, temperature: 0, top_p: 0.37, seed: 0, stop: ["\n\n"], ignoresEnd: true };

    expect(toWireParameters(parameters)).toEqual({ temperature: 0, top_p: 0.37, seed: 0, stop: ["\n\n"], ignore_eos: true });
  });

  it("sends tools with how they may be called, and none of what does not parse", () => {
    const parameters = { ...DEFAULT_PARAMETERS, tools: EXAMPLE_TOOLS, toolChoice: "required" as const };

    expect(toWireParameters(parameters)).toEqual({ tools: JSON.parse(EXAMPLE_TOOLS), tool_choice: "required" });
    expect(toWireParameters({ ...parameters, tools: "[{" })).toEqual({});
  });

  it("wraps a schema as the API takes it", () => {
    const parameters = { ...DEFAULT_PARAMETERS, format: "json_schema" as const, schema: EXAMPLE_SCHEMA };

    expect(toWireParameters(parameters)).toEqual({
      response_format: { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(EXAMPLE_SCHEMA) } },
    });
    expect(toWireParameters({ ...parameters, format: "text" })).toEqual({});
  });
});

describe("findProblem", () => {
  it("names the field that keeps the request from being sent", () => {
    expect(findProblem(DEFAULT_PARAMETERS)).toBeNull();
    expect(findProblem({ ...DEFAULT_PARAMETERS, tools: "{}" })).toBe('Tools: tools[0].type must be "function".');
    expect(findProblem({ ...DEFAULT_PARAMETERS, format: "json_schema" })).toBe("JSON schema: Enter a schema.");
  });

  it("does not mind a schema that is not used", () => {
    expect(findProblem({ ...DEFAULT_PARAMETERS, schema: "{" })).toBeNull();
  });
});

describe("checkNumber", () => {
  it("keeps the server's bounds, the ends included", () => {
    expect(checkNumber("temperature", 2)).toBeNull();
    expect(checkNumber("temperature", 2.01)).toBe("From 0 to 2.");
    expect(checkNumber("max_tokens", 0)).toBe("From 1 to 1000000.");
    expect(checkNumber("max_tokens", 1.5)).toBe("Enter a whole number.");
    expect(checkNumber("seed", Number.NaN)).toBe("Enter a number.");
  });
});

describe("readParameters", () => {
  it("gives back what was stored", () => {
    const stored = { ...DEFAULT_PARAMETERS, temperature: 0.3, stop: ["END"], format: "json_object" as const };

    expect(readParameters(JSON.parse(JSON.stringify(stored)))).toEqual(stored);
  });

  it("puts defaults in place of what makes no sense", () => {
    expect(readParameters({ temperature: 9, top_k: "many", stop: [1, "a"], format: "xml" })).toEqual({
      ...DEFAULT_PARAMETERS,
      stop: ["a"],
    });
    expect(readParameters(null)).toEqual(DEFAULT_PARAMETERS);
  });
});

describe("countChanged", () => {
  it("counts each parameter once", () => {
    expect(countChanged(DEFAULT_PARAMETERS)).toBe(0);
    expect(countChanged({ ...DEFAULT_PARAMETERS, temperature: 0, stop: ["a", "b"] })).toBe(2);
  });
});
