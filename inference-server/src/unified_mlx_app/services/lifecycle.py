"""Whether the server takes new work, and how much it still holds; used on the event loop only."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Lifecycle:
    """Counts requests in flight, and takes the server from accepting to draining to idle."""

    def __init__(self) -> None:
        self.is_draining = False
        self.num_in_flight = 0
        self.started_at = time.time()
        self._cut: Callable[[], Awaitable[None]] | None = None

    def enter(self) -> None:
        self.num_in_flight += 1

    def leave(self) -> None:
        self.num_in_flight -= 1

    def on_cut(self, cut: Callable[[], Awaitable[None]]) -> None:
        """`cut` ends what still runs when the time to drain is over, with an error that its client sees."""
        self._cut = cut

    def begin_drain(self) -> None:
        """From now on new work is refused and readiness fails. May be called from a signal handler."""
        self.is_draining = True

    async def drain(self, *, min_seconds: float, max_seconds: float, is_urgent: Callable[[], bool]) -> None:
        """Waits for requests in flight, for `min_seconds` in any case, and cuts what runs after `max_seconds`.

        Stops waiting as soon as `is_urgent`.
        """
        started = time.monotonic()
        while not is_urgent():
            elapsed = time.monotonic() - started
            if elapsed >= min_seconds and (self.num_in_flight == 0 or elapsed >= max_seconds):
                break
            await asyncio.sleep(0.02)
        if self.num_in_flight and self._cut is not None:
            await self._cut()
