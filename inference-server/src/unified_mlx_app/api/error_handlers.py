"""The one place where errors become responses: in Anthropic's shape under its path, in OpenAI's everywhere else."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from unified_mlx_app.api.error_schemas import anthropic_error_body, error_body
from unified_mlx_app.errors import (
    AppError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    ServerError,
    UnsupportedFieldError,
)

log = structlog.get_logger(__name__)

ANTHROPIC_PATH = "/v1/messages"
_UNION_LABELS = {"str", "int", "float", "bool", "list", "dict", "nullable"}
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_MESSAGE = re.compile(r"messages\[\d+\]")


class ClientGoneError(Exception):
    """The client closed its connection; whatever is answered is read by nobody."""


class ErrorResponse(Response):
    """Tells an error in the shape of the API whose path was asked for."""

    def __init__(self, error: AppError, headers: Mapping[str, str]) -> None:
        super().__init__(error_body(error).model_dump_json(), error.status, headers, "application/json")
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(ANTHROPIC_PATH):
            request_id = scope.get("state", {}).get("request_id")
            self.body = anthropic_error_body(self._error, request_id).model_dump_json().encode()
            self.headers["content-length"] = str(len(self.body))
            if request_id is not None:
                self.headers["request-id"] = request_id
        await super().__call__(scope, receive, send)


def error_response(error: AppError) -> ErrorResponse:
    """The response that tells `error`."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return ErrorResponse(error, headers)


def _field_name(location: Sequence[str | int]) -> str | None:
    """`messages[0].content` from a pydantic location, without the names of union members in it."""
    name = ""
    previous: str | int = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not (part in _ROLES and _MESSAGE.fullmatch(name) and isinstance(previous, int)) and not _is_union_label(part):
            name += f".{part}" if name else part
        previous = part
    return name or None


def _is_union_label(part: str) -> bool:
    """Pydantic names the member of a union that refused: a type, a literal's values in brackets, or a model."""
    return part in _UNION_LABELS or "[" in part or part[:1].isupper()


def _most_telling(problems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first problem; where a union refused, the one of the member that the value came closest to."""
    first = problems[0]["loc"]
    of_same_field = [problem for problem in problems if problem["loc"][: len(first) - 1] == first[:-1]]
    is_union = _is_union_label(str(first[-1]))
    return max(of_same_field, key=lambda problem: len(problem["loc"])) if is_union else problems[0]


def validation_error(problems: Sequence[Mapping[str, Any]]) -> InvalidRequestError:
    """The first problem that pydantic found, as an OpenAI client expects it."""
    problem = _most_telling(problems)
    source, *rest = problem["loc"]
    name = _field_name(rest)
    if problem["type"].startswith("union_tag"):
        name = f"{name}.role"
    context = problem.get("ctx") or {}
    param = context.get("param") or name
    if problem["type"] == "extra_forbidden":
        return InvalidRequestError(f"Unrecognized request argument supplied: {param}", param=param)
    if problem["type"] == "unsupported_field":
        return UnsupportedFieldError(f"{param} {problem['msg']}.", param=param)
    if name is None and context.get("param"):
        return InvalidRequestError(f"Invalid value for {param}: {problem['msg']}.", param=param)
    if name is None:
        return InvalidRequestError(f"The {source} is not valid: {problem['msg']}.", param=param)
    return InvalidRequestError(f"Invalid value for {name}: {problem['msg']}.", param=param)


async def _on_app_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, reason=error.message)
    return error_response(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(validation_error(error.errors()))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = error_response(_routing_error(request, error))
    response.headers.update(error.headers or {})
    return response


def _routing_error(request: Request, error: HTTPException) -> AppError:
    if error.status_code == 404:
        return NotFoundError(f"There is no route {request.method} {json.dumps(request.url.path)}; /docs lists them.")
    if error.status_code == 405:
        return MethodNotAllowedError(f"{request.method} is not possible here; /docs lists the routes.")
    return InvalidRequestError(str(error.detail)) if error.status_code < 500 else ServerError("The server made a mistake.")


async def _on_client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientGoneError, _on_client_gone)
