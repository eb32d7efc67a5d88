"""Whether the API takes new work, and how much it still holds; used on the event loop only."""

import asyncio
import contextlib


class Lifecycle:
    """Counts requests in flight, and takes the server from accepting to draining to idle."""

    def __init__(self) -> None:
        self.is_draining = False
        self._num_in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def enter(self) -> None:
        self._num_in_flight += 1
        self._is_idle.clear()

    def leave(self) -> None:
        self._num_in_flight -= 1
        if self._num_in_flight == 0:
            self._is_idle.set()

    def begin_drain(self) -> None:
        """From now on new work is refused and readiness fails. May be called from a signal handler."""
        self.is_draining = True

    async def drain(self, *, max_seconds: float) -> None:
        """Waits until no request is in flight, but not longer than `max_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max_seconds):
                await self._is_idle.wait()
