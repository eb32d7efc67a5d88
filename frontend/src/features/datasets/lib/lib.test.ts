// @vitest-environment node
import { describe, expect, it } from "vitest";
import { readPage, writePage } from "@/lib/api/pagination";
import { type Dataset } from "../api";
import { applyEdit, countEdits, type EditAction, NO_EDITS, objectionsByTarget, toWire } from "./edits";
import { countProblems, problemName, sourceName } from "./labels";
import { emptyLike, otherKeys, parseRow, textsOf, withText } from "./row-texts";
import { readTab, readText, readViewSettings, writeViewSettings } from "./search-params";
import { tokenRuns } from "./token-runs";

const CHAT = {
  id: 7,
  messages: [
    { role: "user", content: "Where is the lamp?" },
    { role: "assistant", tool_calls: [{ id: "a" }] },
  ],
};

describe("texts of rows", () => {
  it("are the messages with their roles, and JSON where there is no plain text", () => {
    expect(textsOf(CHAT)).toEqual([
      { path: ["messages", 0, "content"], label: "user", text: "Where is the lamp?", isPlain: true },
      {
        path: ["messages", 1],
        label: "assistant",
        text: '{\n  "tool_calls": [\n    {\n      "id": "a"\n    }\n  ]\n}',
        isPlain: false,
      },
    ]);
    expect(textsOf({ completion: "b", prompt: "a" }).map(({ label }) => label)).toEqual(["prompt", "completion"]);
    expect(textsOf({ messages: ["x"] })[0]).toMatchObject({ label: "message 1", text: "x" });
  });

  it("leave the other keys aside", () => {
    expect(otherKeys(CHAT)).toEqual(["id"]);
    expect(otherKeys({ text: "a", source: "b" })).toEqual(["source"]);
  });

  it("are changed in a copy", () => {
    const changed = withText(CHAT, ["messages", 0, "content"], "Where is it?");

    expect(textsOf(changed)[0]?.text).toBe("Where is it?");
    expect(textsOf(CHAT)[0]?.text).toBe("Where is the lamp?");
    expect(changed.id).toBe(7);
  });

  it("are empty in a new row of the same shape", () => {
    expect(emptyLike({ text: "a" })).toEqual({ text: "" });
    expect(emptyLike({ prompt: "a" })).toEqual({ prompt: "", completion: "" });
    expect(textsOf(emptyLike(null)).map(({ label }) => label)).toEqual(["user", "assistant"]);
  });

  it("are read from JSON objects alone", () => {
    expect(parseRow('{"text": "a"}')).toEqual({ row: { text: "a" } });
    expect(parseRow("[1]")).toHaveProperty("refusal", expect.stringContaining("JSON object"));
    expect(parseRow("{")).toHaveProperty("refusal");
  });
});

describe("edits", () => {
  const after = (...actions: EditAction[]) => actions.reduce(applyEdit, NO_EDITS);

  it("are counted by what they do", () => {
    const edits = after(
      { do: "replace", row: 4, content: { text: "four" } },
      { do: "delete", row: 2 },
      { do: "add", key: "n", before: 9, content: { text: "new" } },
    );

    expect(countEdits(edits)).toEqual({ edited: 1, deleted: 1, added: 1, total: 3 });
    expect(countEdits(applyEdit(edits, { do: "clear" })).total).toBe(0);
  });

  it("can be taken back", () => {
    const edits = after(
      { do: "delete", row: 2 },
      { do: "keep", row: 2 },
      { do: "add", key: "n", before: 9, content: {} },
      { do: "drop", key: "n" },
    );

    expect(countEdits(edits).total).toBe(0);
  });

  it("go out in the order of rows, new rows last, and objections find their way back", () => {
    const { edits, targets } = toWire(
      after(
        { do: "add", key: "n", before: 9, content: { text: "old" } },
        { do: "rewrite", key: "n", content: { text: "new" } },
        { do: "replace", row: 4, content: { text: "four" } },
        { do: "delete", row: 2 },
      ),
    );

    expect(edits).toEqual([
      { op: "delete", row: 2 },
      { op: "replace", row: 4, content: { text: "four" } },
      { op: "insert", row: 9, content: { text: "new" } },
    ]);
    const told = [
      { field: "edits.1.content", message: "empty" },
      { field: "edits.2.content.text", message: "no text" },
      { field: "name", message: "taken" },
      { field: "edits.8.row", message: "not there" },
    ];
    expect([...objectionsByTarget(told, targets)]).toEqual([
      [4, "empty"],
      ["n", "no text"],
    ]);
  });
});

describe("token runs", () => {
  it("join neighbours that are used alike, and cut what is beyond the limit", () => {
    const row = { pieces: ["a", "b", "c", "d", "e"], is_learned: [false, false, true, true, true], num_kept: 4 };

    expect(tokenRuns(row)).toEqual([
      { use: "context", start: 0, pieces: ["a", "b"] },
      { use: "learned", start: 2, pieces: ["c", "d"] },
      { use: "cut", start: 4, pieces: ["e"] },
    ]);
    expect(tokenRuns({ pieces: [], is_learned: [], num_kept: 0 })).toEqual([]);
  });
});

describe("addresses", () => {
  const read = (query: string) => new URLSearchParams(query);

  it("hold tab, page and text, and forgive nonsense", () => {
    expect(readTab(read("tab=lengths"))).toBe("lengths");
    expect(readTab(read("tab=nothing"))).toBe("rows");
    expect([readPage(read("page=3")), readPage(read("page=-1")), readPage(read("page=x"))]).toEqual([3, 1, 1]);
    expect([writePage(1), writePage(2)]).toEqual([{ page: null }, { page: "2" }]);
    expect(readText(read("q=%20facts%20"))).toBe("facts");
  });

  it("hold how training would look at the rows; what is usual is left out", () => {
    const settings = { modelId: "m", maxSeqLength: 512, masksPrompt: false };
    const written = writeViewSettings(settings);

    expect(written).toEqual({ model: "m", limit: "512", mask: "all" });
    expect(readViewSettings(read("model=m&limit=512&mask=all"))).toEqual(settings);
    expect(readViewSettings(read("limit=3"))).toEqual({ modelId: null, maxSeqLength: 2048, masksPrompt: true });
    expect(writeViewSettings({ maxSeqLength: 2048, masksPrompt: true })).toEqual({ limit: null, mask: null });
  });
});

describe("labels", () => {
  it("say problems in words, and count them", () => {
    expect(problemName("invalid_json")).toBe("Invalid JSON");
    expect(countProblems({ report: { problem_counts: { duplicate: 2, invalid_json: 1 } } } as unknown as Dataset)).toBe(3);
  });

  it("say where a dataset came from", () => {
    expect(sourceName({ kind: "csv", file_name: "facts.csv" })).toBe("Uploaded as a table: facts.csv");
    expect(sourceName({ kind: "split", validation_share: 0.25, seed: 7 })).toBe(
      "A part of another dataset (25% for validation, seed 7)",
    );
    expect(sourceName({ kind: "edit" })).toBe("Edited rows of another dataset");
    expect(sourceName(null)).toBeNull();
  });
});
