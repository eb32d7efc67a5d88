import { describe, expect, it } from "vitest";
import { EXAMPLE_SCHEMA, EXAMPLE_TOOLS, formatJSON, parseSchema, parseTools } from "./json-input";

const tool = (fields: object) => JSON.stringify([{ type: "function", function: fields }]);

describe("parseTools", () => {
  it("takes a list, a single tool, and nothing", () => {
    const [first] = JSON.parse(EXAMPLE_TOOLS) as unknown[];

    expect(parseTools(EXAMPLE_TOOLS)).toEqual({ value: [first], problem: null });
    expect(parseTools(JSON.stringify(first)).value).toEqual([first]);
    expect(parseTools("  ")).toEqual({ value: null, problem: null });
  });

  it.each([
    ["[3]", "tools[0] must be an object."],
    ['[{"type": "function"}]', "tools[0].function must be an object with a name."],
    [tool({ name: "two words" }), 'tools[0].function.name must be 1 to 64 letters, digits, "_" or "-".'],
    [tool({ name: "f", description: 3 }), "tools[0].function.description must be text."],
    [tool({ name: "f", parameters: [] }), "tools[0].function.parameters must be a JSON schema object."],
  ])("says of %s what is wrong and where", (text, problem) => {
    expect(parseTools(text)).toEqual({ value: null, problem });
  });

  it("refuses two tools of one name", () => {
    const twice = JSON.stringify([...JSON.parse(EXAMPLE_TOOLS), ...JSON.parse(EXAMPLE_TOOLS)]);

    expect(parseTools(twice).problem).toBe('tools[1].function.name repeats "get_weather".');
  });

  it("names line and column of what is not JSON", () => {
    expect(parseTools('[\n  {"type": function}\n]').problem).toBe("Not JSON: line 2, column 12.");
    expect(parseTools("[{").problem).toBe("Not JSON: line 1, column 3.");
  });
});

describe("parseSchema", () => {
  it("takes an object and nothing else", () => {
    expect(parseSchema(EXAMPLE_SCHEMA)).toEqual({ value: JSON.parse(EXAMPLE_SCHEMA), problem: null });
    expect(parseSchema("[]").problem).toBe("A schema is an object: { … }.");
    expect(parseSchema("").problem).toBe("Enter a schema.");
  });
});

describe("formatJSON", () => {
  it("indents, and leaves alone what is no JSON", () => {
    expect(formatJSON('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(formatJSON('{"a":')).toBe('{"a":');
  });
});
