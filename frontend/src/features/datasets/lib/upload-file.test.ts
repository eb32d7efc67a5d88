// @vitest-environment node
import { describe, expect, it } from "vitest";
import {
  columnsOf,
  columnsRefusal,
  fileOfText,
  guessColumns,
  guessKind,
  kindOf,
  nameOf,
  parseHeader,
  refusalOf,
} from "./upload-file";

describe("files", () => {
  it("are known by their suffix", () => {
    expect(["a.jsonl", "A.CSV", "b.tsv", "notes.v2.md", "c.parquet", "noname"].map(kindOf)).toEqual([
      "jsonl",
      "table",
      "table",
      "text",
      null,
      null,
    ]);
  });

  it("are refused by type and size, before a byte is sent", () => {
    expect(refusalOf({ name: "a.png", size: 5 })).toContain("a.png is of no type that holds rows");
    expect(refusalOf({ name: "a.jsonl", size: 0 })).toContain("is empty");
    expect(refusalOf({ name: "a.jsonl", size: 2e10 })).toContain("20 GB");
    expect(refusalOf({ name: "a.jsonl", size: 5 })).toBeNull();
  });

  it("give their name", () => {
    expect([nameOf("facts.v2.jsonl"), nameOf(".csv")]).toEqual(["facts.v2", "dataset"]);
  });
});

describe("pasted text", () => {
  it("is known by how it begins", () => {
    expect(guessKind('{"text": "a"}\n')).toBe("jsonl");
    expect(guessKind('[{"text": "a"}]')).toBe("jsonl");
    expect(guessKind("question,answer\na,b")).toBe("table");
    expect(guessKind("question\tanswer\na\tb")).toBe("table");
    expect(guessKind("Once, there was a lamp.\nIt stood, dark, in the attic.")).toBe("text");
    expect(guessKind("")).toBe("text");
  });

  it("becomes a file that the backend reads the same way", async () => {
    const file = fileOfText("a,b\n1,2", "table");

    expect([file.name, await file.text()]).toEqual(["pasted.csv", "a,b\n1,2"]);
  });
});

describe("columns", () => {
  it("are the first record, with quotes, breaks and marks", async () => {
    expect(parseHeader('\uFEFFprompt, "the ""real"" answer" ,c\r\n1,2,3')).toEqual(["prompt", 'the "real" answer', "c"]);
    expect(parseHeader('"a;b";c;d\n')).toEqual(["a;b", "c", "d"]);
    expect(await columnsOf(new Blob(["one\ttwo\n1\t2"]))).toEqual(["one", "two"]);
  });

  it("are guessed by usual names; a pair goes before a text", () => {
    expect(guessColumns(["Question", "answer", "text"])).toEqual({ prompt: "Question", completion: "answer" });
    expect(guessColumns(["id", "content"])).toEqual({ text: "content" });
    expect(guessColumns(["asked", "told"])).toEqual({});
  });

  it("must make rows", () => {
    expect(columnsRefusal({ prompt: "a" })).toContain("Choose a prompt and a completion");
    expect(columnsRefusal({ text: "a", prompt: "b" })).toContain("either");
    expect([columnsRefusal({ text: "a" }), columnsRefusal({ prompt: "a", completion: "b" })]).toEqual([null, null]);
  });
});
