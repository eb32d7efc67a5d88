"""The one place where errors become responses, all as problem+json."""

import json
from collections.abc import Sequence

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from mlx_hub.api.problems import CONTENT_TYPE, FieldProblem, problem
from mlx_hub.core.run_config import TrainingError
from mlx_hub.errors import (
    ConflictError,
    ForbiddenError,
    HubError,
    InvalidInputError,
    MethodNotAllowedError,
    NotFoundError,
    RateLimitedError,
    ScopeError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5


class ClientGoneError(Exception):
    """The client closed its connection; whatever is answered is read by nobody."""


def problem_response(error: HubError, scope: Scope, errors: list[FieldProblem] | None = None) -> Response:
    """The response that tells `error` to the request of `scope`."""
    headers = {} if error.retry_after_seconds is None else {"retry-after": str(error.retry_after_seconds)}
    if isinstance(error, RateLimitedError):
        headers |= error.headers
    if isinstance(error, UnauthorizedError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, ScopeError):
        headers["www-authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    body = problem(error, scope.get("state", {}).get("request_id"), errors)
    return Response(body.model_dump_json(), error.status, headers, CONTENT_TYPE)


def _field_name(location: Sequence[str | int]) -> str:
    """`tags.owner` or `page` from a pydantic location; `body` for the body as a whole."""
    source, *rest = location
    if not rest or (source == "body" and isinstance(rest[0], int)):
        return str(source)
    return ".".join(str(part) for part in rest if part != "[key]")


async def _on_hub_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, reason=error.message)
    return problem_response(error, request.scope)


async def _on_training_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TrainingError)
    return problem_response(InvalidInputError(f"{error.message} ({error.code})"), request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [FieldProblem(field=_field_name(found["loc"]), message=found["msg"]) for found in error.errors()]
    told = "; ".join(f"{found.field}: {found.message}" for found in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return problem_response(InvalidInputError(f"{told}{more}."), request.scope, problems)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, HubError):
        # FastAPI turns whatever interrupts the reading of a body into its own 400.
        return problem_response(error.__cause__, request.scope)
    response = problem_response(_routing_error(request, error), request.scope)
    response.headers.update(error.headers or {})
    return response


def _routing_error(request: Request, error: HTTPException) -> HubError:
    match error.status_code:
        case 403:
            return ForbiddenError(str(error.detail))
        case 404:
            return NotFoundError(f"There is no route {request.method} {json.dumps(request.url.path)}; /docs lists them.")
        case 405:
            return MethodNotAllowedError(f"{request.method} is not possible here; /docs lists the routes.")
        case 413:
            return TooLargeError(str(error.detail))
        case status if status < 500:
            return InvalidInputError(str(error.detail), field="body")
        case _:
            return HubError("The server made a mistake.")


async def _on_conflict(request: Request, error: Exception) -> Response:
    log.info("write_conflict", reason=type(error).__name__)
    return problem_response(ConflictError("Somebody else changed the same thing just now; look again."), request.scope)


async def _on_database_error(request: Request, error: Exception) -> Response:
    log.error("database_failed", exc_info=error)
    return problem_response(UnavailableError("The database does not answer.", retry_after_seconds=_RETRY_SECONDS), request.scope)


async def _on_client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(HubError, _on_hub_error)
    app.add_exception_handler(TrainingError, _on_training_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(IntegrityError, _on_conflict)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_database_error)
    app.add_exception_handler(ClientGoneError, _on_client_gone)
