// @vitest-environment node
import { expect, it } from "vitest";
import { ApiError } from "@/lib/api/errors";
import { formErrors } from "@/lib/api/field-errors";

const refused = (fields: { field: string | null; message: string }[]) =>
  new ApiError({ service: "backend", status: 422, code: "invalid_input", message: "2 fields are wrong.", fields });

it("objections are told at the fields that they are about", () => {
  const error = refused([
    { field: "name", message: "is taken" },
    { field: "tags.team", message: "is too long" },
  ]);

  expect(formErrors(error, ["name", "tags"])).toEqual({ fields: { name: "is taken", tags: "is too long" }, other: null });
});

it("what no field of the form is to blame for is told with the form", () => {
  expect(formErrors(refused([{ field: "task_type", message: "is wrong" }]), ["name"])).toEqual({
    fields: {},
    other: "2 fields are wrong.",
  });
  expect(formErrors(new Error("Broken."), ["name"]).other).toBe("Broken.");
  expect(formErrors(null, ["name"])).toEqual({ fields: {}, other: null });
});
