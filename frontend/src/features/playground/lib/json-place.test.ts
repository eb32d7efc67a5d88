import { describe, expect, it } from "vitest";
import { findJSONProblem } from "./json-place";

describe("findJSONProblem", () => {
  it.each(["{}", "[]", ' {"a": [1, -2.5e3, "x\\n\\u00e9", null, true], "b": {}} ', '"text"', "0"])("takes %s", (text) => {
    expect(findJSONProblem(text)).toBeNull();
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  });

  it.each([
    ['[\n  {"type": function}\n]', { line: 2, column: 12 }],
    ["[{", { line: 1, column: 3 }],
    ['{"a": 1,}', { line: 1, column: 9 }],
    ["[1 2]", { line: 1, column: 4 }],
    ["[1]]", { line: 1, column: 4 }],
    ["{a: 1}", { line: 1, column: 2 }],
    ['{"a" 1}', { line: 1, column: 6 }],
    ["[01]", { line: 1, column: 2 }],
    ['["a\nb"]', { line: 1, column: 2 }],
  ])("finds the place in %j", (text, place) => {
    expect(findJSONProblem(text)).toEqual(place);
    expect(() => JSON.parse(text) as unknown).toThrow();
  });
});
