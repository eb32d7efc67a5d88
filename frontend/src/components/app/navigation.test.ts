import { describe, expect, it } from "vitest";
import { crumbsFor, isWithin } from "./navigation";

describe("crumbsFor", () => {
  it.each([
    ["/", null, [{ label: "Dashboard" }]],
    ["/models", null, [{ label: "Models" }]],
    ["/training/new", null, [{ label: "Training", href: "/training" }, { label: "New job" }]],
    ["/training/0193abcd-ef01", null, [{ label: "Training", href: "/training" }, { label: "0193abcd" }]],
    ["/training/0193abcd-ef01", "My run", [{ label: "Training", href: "/training" }, { label: "My run" }]],
    ["/discover/mlx-community/Qwen3%2B", null, [{ label: "Discover", href: "/discover" }, { label: "mlx-community/Qwen3+" }]],
    ["/elsewhere", null, [{ label: "Not found" }]],
  ])("tells the way to %s with the label %j", (pathname, label, crumbs) => {
    expect(crumbsFor(pathname, label)).toEqual(crumbs);
  });
});

describe("isWithin", () => {
  it("does not take a longer name for a page below", () => {
    expect(isWithin("/models/1", "/models")).toBe(true);
    expect(isWithin("/modelsque", "/models")).toBe(false);
    expect(isWithin("/models", "/")).toBe(false);
  });
});
