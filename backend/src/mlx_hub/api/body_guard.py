"""Caps, times and checks every request body before a route sees it.

JSON is read whole. Refused with 422: another content type, NaN and Infinity, duplicate keys, lone surrogates, more
than 200 levels; Python's parser lets all but the last of these through. Uploads are streamed under a cap of their own.
"""

import asyncio
import contextlib
import json
from typing import Any

import pydantic_core
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_hub.api.error_handlers import ClientGoneError, problem_response
from mlx_hub.errors import HubError, InvalidInputError, TooLargeError

_RECEIVE_SECONDS = 10.0
"""A JSON body that is not complete by then is cut: slow senders must not hold connections."""
_DISCARD_SECONDS = 1.0
_DISCARD_UPLOAD_SECONDS = 10.0
"""How long the rest of a refused body is read, so that the client sees the answer and not a reset."""
_DISCARD_PAUSE_SECONDS = 1.0
"""Whoever sends nothing for so long is waiting for the answer."""


class BodyGuard:
    """ASGI middleware; a POST to one of `upload_paths` is an upload."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_upload_bytes: int, upload_paths: frozenset[str]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes
        self._upload_paths = upload_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["method"] == "POST" and scope["path"] in self._upload_paths
        capped = _CappedReceive(receive, self._max_upload_bytes if is_upload else self._max_bytes)
        headers = Headers(scope=scope)
        try:
            capped.check_declared(headers)
            if is_upload:
                await self._app(scope, capped, _discarding_rest(capped, receive, send))
                return
            body = await _read_whole(capped)
            check_json(body, headers.get("content-type", ""))
        except ClientGoneError:
            return
        except HubError as error:
            if isinstance(error, TooLargeError):
                await refuse(error, scope, receive, send)
            else:
                await problem_response(error, scope)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def refuse(error: HubError, scope: Scope, receive: Receive, send: Send) -> None:
    """Tells `error` to a request whose body is not read, or not whole; for a second the rest is read and thrown away."""
    await problem_response(error, scope)(scope, receive, _discarding(receive, send, seconds=_DISCARD_SECONDS))


class _CappedReceive:
    """Raises TooLargeError from the message that goes beyond `max_bytes`. `is_read` says whether nothing is left."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self.is_read = False
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0

    def check_declared(self, headers: Headers) -> None:
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()

    async def __call__(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            raise self._too_large()
        self.is_read = not message.get("more_body", False)
        return message

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"The request body is larger than {self._max_bytes} bytes.")


async def _read_whole(receive: _CappedReceive) -> bytes:
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(_RECEIVE_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise InvalidInputError(f"The body did not arrive within {_RECEIVE_SECONDS:.0f} seconds.", field="body") from None


def check_json(body: bytes, content_type: str) -> None:
    """Raises InvalidInputError unless `body` is empty or strict JSON sent as such."""
    if not body:
        return
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidInputError("Send the body as JSON with the header Content-Type: application/json.", field="content-type")
    try:
        pydantic_core.from_json(body, allow_inf_nan=False)
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except ValueError as error:
        raise InvalidInputError(f"The body is not valid JSON: {error}", field="body") from None


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


def _discarding_rest(capped: _CappedReceive, receive: Receive, send: Send) -> Send:
    """A `send` that reads what an upload's route has left, when it has not read all."""

    async def send_and_discard(message: Message) -> None:
        sender = send if capped.is_read else _discarding(receive, send, seconds=_DISCARD_UPLOAD_SECONDS)
        await sender(message)

    return send_and_discard


def _discarding(receive: Receive, send: Send, *, seconds: float) -> Send:
    """A `send` that reads the rest of the body between the answer and its end."""

    async def send_and_discard(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await _receive_soon(receive)).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_and_discard


async def _receive_soon(receive: Receive) -> Message:
    # Not wait_for: under a sender that does not pause, Python 3.11's loses the cancellation by the timeout around it.
    async with asyncio.timeout(_DISCARD_PAUSE_SECONDS):
        return await receive()
