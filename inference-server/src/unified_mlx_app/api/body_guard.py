"""Reads every request body whole before a route sees it: capped, timed, and strict about what JSON is.

Refused with 400: another content type, NaN and Infinity, duplicate keys, lone surrogates, more than
200 levels. Python's parser lets all but the last of these through.
"""

import asyncio
import contextlib
import json
from typing import Any

import pydantic_core
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified_mlx_app.api.error_handlers import ClientGoneError, error_response
from unified_mlx_app.errors import AppError, InvalidRequestError, PayloadTooLargeError

_RECEIVE_SECONDS = 10.0
"""A body that is not complete by then is cut: slow senders must not hold connections."""
_DISCARD_SECONDS = 1.0
"""How long the rest of a refused body is read, so that the client sees the answer and not a reset."""


class BodyGuard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
            check_json(body, Headers(scope=scope).get("content-type", ""))
        except ClientGoneError:
            return
        except AppError as error:
            response = error_response(error)
            if isinstance(error, PayloadTooLargeError):
                # What the client goes on sending would be the start of its next request.
                response.headers["connection"] = "close"
                send = _discarding(receive, send)
            await response(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        num_bytes = 0
        try:
            async with asyncio.timeout(_RECEIVE_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    parts.append(message.get("body", b""))
                    num_bytes += len(parts[-1])
                    if num_bytes > self._max_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise InvalidRequestError(f"The body did not arrive within {_RECEIVE_SECONDS:.0f} seconds.") from None

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The request body is larger than {self._max_bytes} bytes.")


def check_json(body: bytes, content_type: str) -> None:
    """Raises InvalidRequestError unless `body` is empty or strict JSON sent as such."""
    if not body:
        return
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequestError("Send the body as JSON with the header Content-Type: application/json.")
    try:
        pydantic_core.from_json(body, allow_inf_nan=False)
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except ValueError as error:
        raise InvalidRequestError(f"The body is not valid JSON: {error}") from None


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("an object has the same key twice")


def _replay(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def replay() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _discarding(receive: Receive, send: Send) -> Send:
    """A `send` that reads the rest of the body between the answer and its end."""

    async def send_and_discard(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_and_discard
