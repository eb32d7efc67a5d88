import { describe, expect, it } from "vitest";
import { describeLines, asReport, estimateSeconds, fitOf, type Report } from "./report";
import { findNamed, readJobsFilter, readRuns, readTab, statusesOf } from "./search-params";

const ID = "0193abcd-0000-7000-8000-00000000000a";
const OTHER = ID.replace(/a$/, "b");
const read = (query: string) => new URLSearchParams(query);

describe("addresses", () => {
  it("filter the list", () => {
    expect(readJobsFilter(read(`status=active&model=${ID}&page=2`))).toEqual({
      status: "active",
      modelId: ID,
      datasetId: null,
      page: 2,
    });
  });

  it("that make no sense show everything", () => {
    const all = { status: "all", modelId: null, datasetId: null, page: 1 };
    expect(readJobsFilter(read("status=odd&model=x&page=-1"))).toEqual(all);
  });

  it("say active for what runs and waits", () => {
    expect(statusesOf("active")).toEqual(["queued", "running"]);
    expect(statusesOf("all")).toBeUndefined();
  });

  it("name runs, each once", () => {
    expect(readRuns(read(`runs=${ID},${OTHER},${ID},odd`))).toEqual([ID, OTHER]);
  });

  it("open a tab", () => {
    expect(readTab(read("tab=log"))).toBe("log");
    expect(readTab(read("tab=odd"))).toBe("curves");
  });

  it("choose rows by id or name", () => {
    const rows = [{ id: ID, name: "org/model" }];
    expect(findNamed(rows, "org/model")).toBe(rows[0]);
    expect(findNamed(rows, ID)).toBe(rows[0]);
    expect(findNamed(rows, null)).toBeNull();
  });
});

describe("the report", () => {
  const report = {
    num_rows: 100,
    num_train_rows: 90,
    num_held_out_rows: 10,
    steps_per_epoch: 30,
    num_steps: 60,
    lengths: { total: 10_000 },
    memory: {},
  } as unknown as Report;

  it("tells the time at the pace of an earlier job", () => {
    expect(estimateSeconds(report, 100)).toBe(180);
    expect(estimateSeconds(report, null)).toBeNull();
    expect(estimateSeconds({ ...report, steps_per_epoch: 0 }, 100)).toBeNull();
  });

  it("tells whether the memory suffices", () => {
    expect([fitOf(10, 100), fitOf(80, 100), fitOf(101, 100)]).toEqual(["fits", "tight", "too_large"]);
  });

  it("names the first lines", () => {
    expect(describeLines([3], 1)).toBe("line 3");
    expect(describeLines([1, 2, 3, 4, 5, 6], 20)).toBe("lines 1, 2, 3, 4, 5 and 15 more");
    expect(describeLines([], 2)).toBe("");
  });

  it("of a job that has none yet is none", () => {
    expect(asReport({})).toBeNull();
    expect(asReport(report)).toBe(report);
  });
});
