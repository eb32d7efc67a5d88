"""The error body that every route answers with, and how routes document it."""

from typing import Any

from pydantic import BaseModel, Field

from unified_mlx_app.errors import AppError


class ErrorDetail(BaseModel):
    message: str = Field(description="What went wrong and what to do.")
    type: str = Field(description="Class of the error, such as invalid_request_error.")
    param: str | None = Field(description="Field of the request that is wrong.")
    code: str | None = Field(description="Stable name of the error.")


class ErrorBody(BaseModel):
    """OpenAI's error shape."""

    error: ErrorDetail


_DESCRIPTIONS = {
    400: "A field is wrong, unknown or not supported; `param` names it.",
    401: "The API key is missing or wrong.",
    403: "Foreign Host or Origin header.",
    404: "No such model, entry or route.",
    409: "The present state does not allow this.",
    413: "The body or the request is too large.",
    429: "The queue is full; retry after the seconds in `Retry-After`.",
    500: "Generation failed.",
    503: "Not available now; retry after the seconds in `Retry-After`.",
}


def error_body(error: AppError) -> ErrorBody:
    return ErrorBody(error=ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code))


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: `statuses` and those that the middleware may answer on any route."""
    return {
        status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]}
        for status in sorted({*statuses, 400, 401, 403, 413, 503})
    }
