// @vitest-environment node
import { describe, expect, it } from "vitest";
import { ApiError, describeError, errorFromBody, errorFromResponse, isAbort, parseRetryAfter } from "@/lib/api/errors";

const NO_HEADERS = new Headers();

describe("errorFromBody", () => {
  it("reads problem+json", () => {
    const body = { detail: "Gone.", code: "not_found", errors: [{ field: "id", message: "x" }, "nonsense"] };

    const error = errorFromBody("backend", 404, new Headers({ "x-request-id": "7", "retry-after": "3" }), body);

    expect(error).toMatchObject({ message: "Gone.", code: "not_found", status: 404, requestId: "7", retryAfterSeconds: 3 });
    expect(error.fields).toEqual([{ field: "id", message: "x" }]);
  });

  it("reads OpenAI's shape, by its type where it has no code", () => {
    const body = { error: { message: "Too hot.", type: "invalid_request_error", param: "temperature", code: null } };

    const error = errorFromBody("inference", 400, NO_HEADERS, body);

    expect(error).toMatchObject({ message: "Too hot.", code: "invalid_request_error", field: "temperature" });
  });

  it("has a code for an error without any", () => {
    expect(errorFromBody("inference", 500, NO_HEADERS, { error: { message: "Hm." } }).code).toBe("internal_error");
  });

  it.each([null, "text", [], { detail: [] }, { error: "no" }])("says so when %j explains nothing", (body) => {
    const error = errorFromBody("backend", 502, NO_HEADERS, body);

    expect(error).toMatchObject({ code: "invalid_answer", field: null });
    expect(error.message).toContain("status 502");
  });

  it("takes a page of a proxy for no explanation", async () => {
    const error = await errorFromResponse("backend", new Response("<html>", { status: 503 }));

    expect(error.code).toBe("invalid_answer");
  });
});

describe("parseRetryAfter", () => {
  it.each([
    [null, null],
    ["", null],
    ["5", 5],
    ["-5", 0],
    ["soon", null],
    ["Thu, 01 Jan 1970 00:00:30 GMT", 20],
    ["Thu, 01 Jan 1970 00:00:05 GMT", 0],
  ])("%j is %j", (value, seconds) => {
    expect(parseRetryAfter(value, 10_000)).toBe(seconds);
  });
});

describe("describeError", () => {
  const facts = { service: "inference" as const, message: "It says why." };

  it.each([
    [{ code: "queue_full", status: 429, retryAfterSeconds: 2.2 }, "Queue is full", "Try again in 3 s."],
    [{ code: "invalid_api_key", status: 401 }, "API key needed", "Enter the API key in Settings."],
    [{ code: "generation_failed", status: 500 }, "The server failed", null],
    [{ code: "strange", status: 409 }, "Not done", null],
    [{ code: "unreachable", status: null }, "No answer", null],
  ])("%j", (rest, title, nextStep) => {
    expect(describeError(new ApiError({ ...facts, ...rest }))).toMatchObject({ title, message: "It says why.", nextStep });
  });

  it("shows what else was thrown", () => {
    expect(describeError(new Error("Oops."))).toMatchObject({ title: "Something went wrong", message: "Oops." });
    expect(describeError("text")).toMatchObject({ message: "text", requestId: null });
  });
});

it("knows an abort from other errors", () => {
  expect(isAbort(new DOMException("", "AbortError"))).toBe(true);
  expect(isAbort(new TypeError())).toBe(false);
  expect(isAbort("AbortError")).toBe(false);
});
