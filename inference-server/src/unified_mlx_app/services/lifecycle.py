"""Whether the server takes new work, how much it still holds, and when it will be gone; used on the event loop only."""

import asyncio
import time
from collections.abc import Callable

CLOSE_SECONDS = 8.0
"""After the time of running requests: their clients are told, queued writes land, everything closes. With the 20 s that
requests have by default it is less than the 30 s that most supervisors give."""


class Lifecycle:
    """Counts requests in flight, and takes the server from accepting to draining to its end at a known moment.

    Moments are in monotonic seconds, the same ones in all processes of the machine.
    """

    def __init__(self, drain_seconds: float) -> None:
        self.is_draining = False
        self.num_in_flight = 0
        self.started_at = time.time()
        self.end_at = float("inf")
        """When the process has to be gone, whatever is not done by then; known once it is draining."""
        self._drain_seconds = drain_seconds
        self._drain_until = float("inf")
        self._listen_until = 0.0
        self._cut: Callable[[], None] | None = None

    def enter(self) -> None:
        self.num_in_flight += 1

    def leave(self) -> None:
        self.num_in_flight -= 1

    def on_cut(self, cut: Callable[[], None]) -> None:
        """`cut` ends what still runs when the time to drain is over, with an error that its client sees."""
        self._cut = cut

    def begin_drain(self, *, listen_seconds: float = 0.0) -> None:
        """From now on new work is refused and readiness fails. May be called from a signal handler, and again."""
        if self.is_draining:
            return
        self.is_draining = True
        now = time.monotonic()
        self._listen_until = now + listen_seconds
        self._drain_until = now + self._drain_seconds
        self.end_at = self._drain_until + CLOSE_SECONDS

    def hurry(self) -> None:
        """Nobody is waited for any more. May be called from a signal handler."""
        self._listen_until = self._drain_until = time.monotonic()
        self.end_at = min(self.end_at, self._drain_until + CLOSE_SECONDS)

    def deadline(self) -> float:
        """`end_at`. Whoever asks closes the server, so it drains from now on even if no signal came."""
        self.begin_drain()
        return self.end_at

    async def drain(self) -> None:
        """Waits for requests in flight, listens for as long as it was told to in any case, and cuts what still runs."""
        while True:
            now = time.monotonic()
            if now >= self._listen_until and (self.num_in_flight == 0 or now >= self._drain_until):
                break
            await asyncio.sleep(0.02)
        if self.num_in_flight and self._cut is not None:
            self._cut()
