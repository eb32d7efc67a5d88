"""The problem+json body (RFC 9457) that every error is told with, and how routes document it."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from mlx_hub.errors import HubError

CONTENT_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str | None = Field(description="Such as `tags.owner`, `page` or `body`.")
    message: str


class Problem(BaseModel):
    """An error; `code` is its stable name."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What went wrong and what to do.")
    code: str
    request_id: str | None = Field(description="Also in the header x-request-id and in the server's log.")
    errors: list[FieldProblem]


_DESCRIPTIONS = {
    403: "Foreign Host or Origin header, or a key without the scope that `x-scope` names.",
    404: "No such thing.",
    405: "This method is not possible here.",
    409: "The present state does not allow this; `code` and `detail` say why.",
    413: "The body is too large.",
    422: "The request is malformed; `errors` names the fields.",
    500: "The server made a mistake.",
    502: "Another service answered with an error.",
    503: "Not available now; retry after the seconds in `Retry-After`.",
    507: "The disk or its quota is full.",
}


def problem(error: HubError, request_id: str | None, errors: list[FieldProblem] | None = None) -> Problem:
    """The body that tells `error`."""
    if errors is None:
        errors = [FieldProblem(field=error.field, message=error.message)] if error.field else []
    return Problem(
        type=f"urn:mlx-hub:problem:{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        errors=errors,
    )


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: `statuses` and those that any route may answer."""
    return {
        status: {"model": Problem, "description": _DESCRIPTIONS[status]} for status in sorted({*statuses, 403, 413, 422, 503})
    }


def declare_problem_json(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI schema with the media type that errors really have: FastAPI documents all as application/json."""
    reference = {"$ref": "#/components/schemas/Problem"}
    for path in schema["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if content.get("application/json", {}).get("schema") == reference:
                    content[CONTENT_TYPE] = content.pop("application/json")
    return schema
