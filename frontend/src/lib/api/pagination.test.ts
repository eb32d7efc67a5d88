// @vitest-environment node
import { describe, expect, it } from "vitest";
import { fetchAll, nextPage, numPages, shownRange, type Page } from "@/lib/api/pagination";

function page(number: number, total = 45): Page<number> {
  const first = (number - 1) * 20 + 1;
  const items = Array.from({ length: 20 }, (_, index) => first + index).filter((item) => item <= total);
  return { items, total, page: number, page_size: 20 };
}

describe("pages", () => {
  it("are counted, and an empty list has one", () => {
    expect([numPages(page(1)), numPages(page(1, 40)), numPages(page(1, 0))]).toEqual([3, 2, 1]);
  });

  it("know the rows they show", () => {
    expect(shownRange(page(3))).toEqual({ first: 41, last: 45 });
    expect(shownRange(page(1, 0))).toBeNull();
  });

  it("know what comes next", () => {
    expect([nextPage(page(1)), nextPage(page(3)), nextPage(page(1, 0))]).toEqual([2, undefined, undefined]);
  });
});

describe("fetchAll", () => {
  it("reads to the end", async () => {
    expect(await fetchAll(async (number) => page(number))).toHaveLength(45);
  });

  it("reads no more than asked for", async () => {
    const asked: number[] = [];
    const rows = await fetchAll(async (number) => (asked.push(number), page(number)), 30);
    expect([rows.length, asked]).toEqual([30, [1, 2]]);
  });

  it("ends when rows went away meanwhile", async () => {
    const rows = await fetchAll(async (number) => (number === 1 ? page(1) : { ...page(2), items: [] }));
    expect(rows).toHaveLength(20);
  });
});
