// @vitest-environment node
import { expect, it } from "vitest";
import { readCompared, readRegistryFilter, readSort, readVersion, writeRegistryFilter } from "./search-params";

const params = (search: string) => new URLSearchParams(search);

it("the filter is read as it was written, and nonsense counts as absent", () => {
  const written = writeRegistryFilter({ text: " talk ", type: "adapter" });

  expect(written).toEqual({ q: "talk", type: "adapter" });
  expect(readRegistryFilter(params("q=talk&type=adapter"))).toEqual({ text: "talk", type: "adapter" });
  expect(readRegistryFilter(params("type=other"))).toEqual({ text: "", type: null });
  expect(writeRegistryFilter({ type: null })).toEqual({ type: null });
});

it("the newest come first unless the address says otherwise", () => {
  expect(readSort(params("sort=price"))).toEqual({ id: "added", direction: "desc" });
  expect(readSort(params("sort=size&direction=asc"))).toEqual({ id: "size", direction: "asc" });
});

it.each([
  ["compare=3,1", [3, 1]],
  ["compare=3,3", null],
  ["compare=3", null],
  ["compare=3,x", null],
  ["compare=3,1,2", null],
  ["", null],
])("%j compares %j", (search, versions) => expect(readCompared(params(search))).toEqual(versions));

it("a version is a number from 1", () => {
  expect([readVersion(params("version=2")), readVersion(params("version=0")), readVersion(params(""))]).toEqual([
    2,
    null,
    null,
  ]);
});
