import { act, renderHook } from "@testing-library/react";
import { expect, test } from "vitest";
import { useEdits } from "./use-edits";

const isAsked = () => !window.dispatchEvent(new Event("beforeunload", { cancelable: true }));

test("changes of rows wait for their page to be shown again, each dataset's for itself", () => {
  const first = renderHook(() => useEdits("a"));
  act(() => first.result.current.edit({ do: "delete", row: 3 }));
  first.unmount();

  expect(isAsked()).toBe(true);
  expect(renderHook(() => useEdits("b")).result.current.edits.changed.size).toBe(0);
  const again = renderHook(() => useEdits("a"));
  expect([...again.result.current.edits.changed]).toEqual([[3, null]]);

  act(() => again.result.current.edit({ do: "clear" }));
  again.unmount();
  expect(isAsked()).toBe(false);
  expect(renderHook(() => useEdits("a")).result.current.edits.changed.size).toBe(0);
});
