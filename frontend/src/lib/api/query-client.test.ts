// @vitest-environment node
import { describe, expect, it, vi } from "vitest";
import { ApiError } from "@/lib/api/errors";
import { createQueryClient, retryDelay, shouldRetry } from "@/lib/api/query-client";

function failure(status: number | null, retryAfterSeconds: number | null = null): ApiError {
  return new ApiError({ service: "backend", status, code: "x", message: "x", retryAfterSeconds });
}

describe("shouldRetry", () => {
  it.each([
    ["no answer", failure(null), true],
    ["500", failure(500), true],
    ["503 with a short wait", failure(503, 5), true],
    ["503 with a long wait", failure(503, 60), false],
    ["429", failure(429, 1), true],
    ["404", failure(404), false],
    ["422", failure(422), false],
    ["a bug of ours", new Error("bug"), false],
    ["an abort", new DOMException("", "AbortError"), false],
  ])("%s", (_name, error, isRetried) => {
    expect(shouldRetry(0, error)).toBe(isRetried);
    expect(shouldRetry(1, error)).toBe(isRetried);
    expect(shouldRetry(2, error)).toBe(false);
  });
});

describe("retryDelay", () => {
  it("does as Retry-After says, and grows without it", () => {
    expect(retryDelay(0, failure(429, 7))).toBe(7_000);
    expect([0, 1, 2, 10].map((count) => retryDelay(count, failure(500)))).toEqual([500, 1_000, 2_000, 15_000]);
  });
});

describe("createQueryClient", () => {
  it.each([
    ["tells a mutation's error", new Error("no"), undefined, 1],
    ["leaves it to a mutation that tells its own", new Error("no"), { tellsErrors: true }, 0],
    ["does not tell an abort", new DOMException("", "AbortError"), undefined, 0],
  ])("%s", async (_name, error, meta, times) => {
    const onMutationError = vi.fn();
    const client = createQueryClient({ onMutationError });
    const mutation = client.getMutationCache().build(client, { mutationFn: () => Promise.reject(error), meta });

    await expect(mutation.execute(undefined)).rejects.toBe(error);

    expect(onMutationError).toHaveBeenCalledTimes(times);
  });
});
