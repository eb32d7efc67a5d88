// @vitest-environment node
import { describe, expect, it } from "vitest";
import { byRepository, describePhase, type Download, possibleActions } from "./download-state";

function download(rest: Partial<Download>): Download {
  return {
    id: "1",
    repo_id: "org/model",
    revision: "main",
    commit: null,
    status: "running",
    requested: "run",
    num_bytes_total: 100,
    num_bytes_done: 40,
    bytes_per_second: 0,
    remaining_seconds: null,
    num_files: 3,
    path: null,
    details: {},
    is_pinned: false,
    model_id: null,
    machine_id: null,
    error_code: null,
    error_message: null,
    created_at: "2026-06-15T12:00:00Z",
    started_at: null,
    completed_at: null,
    last_used_at: null,
    ...rest,
  };
}

describe("the phase", () => {
  it.each([
    [{ status: "queued" }, "Waiting its turn"],
    [{ num_bytes_total: 0, num_bytes_done: 0 }, "Reading the list of files"],
    [{}, "Downloading"],
    [{ num_bytes_done: 100 }, "Checking the files"],
    [{ requested: "pause" }, "Pausing"],
    [{ requested: "cancel" }, "Cancelling"],
    [{ status: "paused", requested: "pause" }, "Paused"],
    [{ status: "ready" }, ""],
  ] as const)("of %o is %s", (rest, phase) => expect(describePhase(download(rest))).toBe(phase));
});

describe("what can be done", () => {
  const actionsOf = (rest: Partial<Download>) => {
    const { canPause, canResume, canCancel } = possibleActions(download(rest));
    return [canPause && "pause", canResume && "resume", canCancel && "cancel"].filter(Boolean).join(" ");
  };

  it.each([
    [{ status: "queued" }, "pause cancel"],
    [{ status: "running" }, "pause cancel"],
    [{ status: "running", requested: "pause" }, "cancel"],
    [{ status: "running", requested: "cancel" }, ""],
    [{ status: "paused", requested: "pause" }, "resume cancel"],
    [{ status: "failed" }, "resume"],
    [{ status: "ready" }, ""],
    [{ status: "cancelled", requested: "cancel" }, ""],
  ] as const)("with %o is: %s", (rest, actions) => expect(actionsOf(rest)).toBe(actions));
});

it("of several revisions of a repository the one under way is shown, else the newest", () => {
  const [old, running, newest] = [
    download({ id: "old", status: "ready" }),
    download({ id: "running" }),
    download({ id: "newest", status: "cancelled" }),
  ];

  expect(byRepository([newest, running, old]).get("org/model")?.id).toBe("running");
  expect(byRepository([newest, old]).get("org/model")?.id).toBe("newest");
});
