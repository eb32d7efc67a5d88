// @vitest-environment node
import { expect, it } from "vitest";
import { parseMessage } from "@/lib/events/hub-event";

it.each([
  ["hello", "{}", { type: "position", isReset: false }],
  ["reset", "{}", { type: "position", isReset: true }],
  ["job", "not JSON", null],
  ["job", "null", null],
  ["job", '{"subject_id": 3, "payload": {}}', null],
  ["job", '{"subject_id": "a", "payload": null}', null],
  ["later", '{"subject_id": "a", "payload": {}}', null],
  [undefined, "{}", null],
])("an event %s with %s", (event, data, message) => {
  expect(parseMessage({ event, data })).toEqual(message);
});
