// @vitest-environment node
import { expect, it } from "vitest";
import type { Backend } from "@/lib/api/client";
import { describeLosses } from "./consequences";
import { describeTask, madeModelId, taskBytes } from "./tasks";

const NOTHING = { num_bytes: 0, num_versions: 0, adapters: [], jobs: [], served_names: [], blockers: [], can_delete: true };

it("a model without files, versions and clients costs nothing, and that is said", () => {
  expect(describeLosses(NOTHING)).toEqual(["No files are deleted: it has none of its own here."]);
});

it("what goes is counted and named, and a long list is cut", () => {
  const jobs = ["a", "b", "c", "d", "e", "f", "g"].map((name) => ({ id: name, name, status: "completed" as const }));

  expect(describeLosses({ ...NOTHING, num_bytes: 2_500_000, num_versions: 1, served_names: ["m@champion"], jobs })).toEqual([
    "2.5 MB are freed on the disk.",
    "1 version with all that is known of them go for good.",
    "Requests for m@champion fail from then on.",
    "Training jobs stay, and no longer lead here: a, b, c, d, e and 2 more.",
  ]);
});

it("a task says what it does and has made", () => {
  const task = (rest: object) => ({ status: "completed", arguments: {}, result: {}, ...rest }) as Backend<"TaskPublic">;
  const made = task({
    kind: "quantise",
    arguments: { bits: 4, name: "local/m-4bit" },
    result: { model_id: "7", num_bytes: 9 },
  });

  expect([describeTask(made), madeModelId(made), taskBytes(made)]).toEqual(["Quantise to 4 bits as local/m-4bit", "7", 9]);
  expect(describeTask(task({ kind: "export", arguments: { format: "peft", version: 2 } }))).toBe(
    "Export of v2 as PEFT adapter",
  );
  expect(madeModelId({ ...made, status: "failed" })).toBeNull();
});
