"""Server-sent events: framing, keep-alive comments, departed clients."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from unified_mlx_app.api.error_schemas import error_body
from unified_mlx_app.errors import AppError, ServerError

log = structlog.get_logger(__name__)

DONE = b"data: [DONE]\n\n"
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "itemSchema": {
            "type": "object",
            "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "JSON in one line."}},
            "required": ["data"],
        }
    }
}
"""How a route that streams documents its events."""
_KEEP_ALIVE = b": keep-alive\n\n"
_KEEP_ALIVE_SECONDS = 10.0


def frame(payload: bytes) -> bytes:
    """One event; `payload` is JSON without line ends."""
    return b"data: " + payload + b"\n\n"


def named_frame(name: str, payload: bytes) -> bytes:
    """One event of the APIs whose clients look at an event's name."""
    return b"event: " + name.encode() + b"\n" + frame(payload)


def error_frame(error: AppError) -> bytes:
    return frame(error_body(error).model_dump_json().encode())


class EventStream(Response):
    """Sends `frames`; an error in their midst becomes the last frame, written by `error_frame`, without [DONE].

    In silences it sends `keep_alive`. `close` is awaited in every case: when the stream ended, failed, or the client left.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[None]],
        headers: Mapping[str, str],
        *,
        error_frame: Callable[[AppError], bytes] = error_frame,
        keep_alive: bytes = _KEEP_ALIVE,
    ) -> None:
        super().__init__(headers={**headers, "cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._close = close
        self._error_frame = error_frame
        self._keep_alive = keep_alive
        self._sent_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(self._write(send))
        watcher = asyncio.create_task(self._watch(receive, send))
        try:
            await asyncio.wait({writer, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, watcher):
                task.cancel()
            await asyncio.gather(writer, watcher, return_exceptions=True)
            await self._frames.aclose()
            await self._close()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for part in self._frames:
                await self._send(part, send)
        except AppError as error:
            log.warning("stream_failed", code=error.code, reason=error.message)
            await self._send(self._error_frame(error), send)
        except Exception:
            log.exception("stream_crashed")
            await self._send(self._error_frame(ServerError("The server made a mistake.")), send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, part: bytes, send: Send) -> None:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        self._sent_at = time.monotonic()

    async def _watch(self, receive: Receive, send: Send) -> None:
        """Returns when the client left; in silences it keeps sending so that proxies keep the connection."""
        while True:
            pause = self._sent_at + _KEEP_ALIVE_SECONDS - time.monotonic()
            message = None
            with contextlib.suppress(TimeoutError):
                # Not wait_for: Python 3.11's may lose a cancellation that comes together with a message.
                async with asyncio.timeout(max(pause, 0.05)):
                    message = await receive()
            if message is not None and message["type"] == "http.disconnect":
                return
            if time.monotonic() - self._sent_at >= _KEEP_ALIVE_SECONDS:
                await self._send(self._keep_alive, send)
