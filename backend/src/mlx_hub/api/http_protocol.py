"""Uvicorn's h11 protocol with deadlines for slow senders and slow readers, and problem+json for what is not HTTP.

Uvicorn 0.54 has none of it: a client that sends one header byte a minute, or reads one byte of an
answer a minute, holds its connection for ever. To be deleted when uvicorn has such timeouts.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mlx_hub.api.problems import CONTENT_TYPE, problem
from mlx_hub.errors import InvalidInputError

HEADER_SECONDS = 5.0
STALL_SECONDS = 30.0
"""A client that takes nothing of a full buffer (64 KiB) for so long is cut off."""
MAX_HEADER_BYTES = 16_384


class DeadlineH11Protocol(H11Protocol):
    """Closes a connection whose next request header is not complete `HEADER_SECONDS` after its first byte,
    or whose client stops reading."""

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and self._is_between_requests():
            self._arm()
        super().data_received(data)
        if not self._is_between_requests():
            self._disarm()

    def send_400_response(self, msg: str) -> None:
        body = problem(InvalidInputError(msg, field="request"), None).model_copy(update={"status": 400, "title": "Bad Request"})
        content = body.model_dump_json().encode()
        headers = [
            ("content-type", CONTENT_TYPE),
            ("content-length", str(len(content))),
            ("connection", "close"),
            ("x-content-type-options", "nosniff"),
        ]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        events = (response, h11.Data(data=content), h11.EndOfMessage())
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _is_between_requests(self) -> bool:
        # Uvicorn declares it as never None, and sets None until the first request.
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if self._is_between_requests() and not self.transport.is_closing():
            self.transport.abort()
