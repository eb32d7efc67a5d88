"""The error body that every route answers with, and how routes document it."""

from typing import Any, Literal

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


class AnthropicErrorDetail(BaseModel):
    type: str = Field(description="Class of the error, such as invalid_request_error.")
    message: str = Field(description="What went wrong and what to do.")


class AnthropicErrorBody(BaseModel):
    """Anthropic's error shape."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str | None


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}

_DESCRIPTIONS = {
    400: "A field is wrong, unknown or not supported; `param` names it.",
    401: "The API key is missing, unknown, expired or revoked.",
    403: "Foreign Host or Origin header, or a key without the scope.",
    404: "No such model, entry or route.",
    408: "The request's own time, or the server's limit, is over.",
    409: "The present state does not allow this.",
    413: "The body or the request is too large.",
    429: "The queue is full or a rate limit is reached; retry after the seconds in `Retry-After`.",
    499: "The request was cancelled by its id.",
    500: "Generation failed.",
    503: "Not available now; retry after the seconds in `Retry-After`.",
}


def error_body(error: AppError) -> ErrorBody:
    return ErrorBody(error=ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code))


def anthropic_error_body(error: AppError, request_id: str | None) -> AnthropicErrorBody:
    detail = AnthropicErrorDetail(type=_ANTHROPIC_TYPES.get(error.status, "invalid_request_error"), message=error.message)
    return AnthropicErrorBody(type="error", error=detail, request_id=request_id)


def documented_errors(*statuses: int, model: type[BaseModel] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: `statuses` and those that the middleware may answer on any route."""
    return {
        status: {"model": model, "description": _DESCRIPTIONS[status]}
        for status in sorted({*statuses, 400, 401, 403, 413, 429, 503})
    }
