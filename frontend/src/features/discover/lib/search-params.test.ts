// @vitest-environment node
import { describe, expect, it } from "vitest";
import { withChanges } from "@/components/app/url-params";
import { CLEARED, isUnfiltered, NO_FILTER, readFilter, toQuery, writeFilter } from "./search-params";

const read = (search: string) => readFilter(new URLSearchParams(search));

describe("the filter in the address", () => {
  it("is read as it was written", () => {
    const filter = {
      ...NO_FILTER,
      text: "qwen 3",
      quantization: "4-bit",
      size: "small",
      fitsOnly: true,
      sort: "likes",
    } as const;

    const params = withChanges(new URLSearchParams(), writeFilter(filter));

    expect(params.toString()).toBe("q=qwen+3&quant=4-bit&size=small&fits=1&sort=likes");
    expect(readFilter(params)).toEqual(filter);
  });

  it("counts what it cannot mean as absent", () => {
    expect(read("sort=worst&size=toString&page=-3&quant=11-bit&fits=yes")).toEqual(NO_FILTER);
    expect(read("page=2.5").page).toBe(1);
    expect(read("page=900").page).toBe(1);
  });

  it("goes back to the first page with every change but that of the page", () => {
    const params = withChanges(new URLSearchParams("q=qwen&page=3"), writeFilter({ fitsOnly: true }));

    expect(params.toString()).toBe("q=qwen&fits=1");
    expect(withChanges(params, writeFilter({ page: 2 })).toString()).toBe("q=qwen&fits=1&page=2");
  });

  it("is empty after it was cleared, and other parameters stay", () => {
    const params = withChanges(new URLSearchParams("view=browse&q=qwen&all=1&sort=likes"), CLEARED);

    expect(params.toString()).toBe("view=browse");
    expect([isUnfiltered(params), isUnfiltered(new URLSearchParams("sort=likes"))]).toEqual([true, false]);
  });
});

it("asks the API for the bytes that a size means, and for nothing that is not wanted", () => {
  expect(toQuery({ ...NO_FILTER, size: "medium", page: 3 })).toEqual({
    query: undefined,
    mlx_only: true,
    sort: "downloads",
    quantization: undefined,
    min_bytes: 8_000_000_000,
    max_bytes: 24_000_000_000,
    fits: undefined,
    page: 3,
    page_size: 20,
  });
});
