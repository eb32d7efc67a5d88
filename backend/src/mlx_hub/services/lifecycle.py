"""Whether the API takes new work, and how much it still holds; used on the event loop only."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType

_URGENCY_SECONDS = 0.1
"""A second signal, which comes while the first is followed, is noticed within so long."""


class Lifecycle:
    """Counts requests in flight, and takes the server from accepting to draining to idle."""

    def __init__(self) -> None:
        self._draining = asyncio.Event()
        self._num_in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    def enter(self) -> None:
        self._num_in_flight += 1
        self._is_idle.clear()

    def leave(self) -> None:
        self._num_in_flight -= 1
        if self._num_in_flight == 0:
            self._is_idle.set()

    def begin_drain(self) -> None:
        """From now on new work is refused and readiness fails. May be called from a signal handler."""
        self._draining.set()

    async def wait_for_drain(self) -> None:
        """Returns once the server was told to stop."""
        await self._draining.wait()

    async def drain(self, *, max_seconds: float, is_urgent: Callable[[], bool]) -> None:
        """Waits until no request is in flight, but not longer than `max_seconds`, nor once `is_urgent`."""
        deadline = time.monotonic() + max_seconds
        while not (self._is_idle.is_set() or is_urgent() or time.monotonic() > deadline):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_URGENCY_SECONDS):
                    await self._is_idle.wait()

    @contextlib.contextmanager
    def endless_request(self) -> Generator[None]:
        """A request in flight that ends by itself when draining begins: nobody waits for a client that reads it slowly."""
        self.leave()
        try:
            yield
        finally:
            self.enter()

    @contextlib.contextmanager
    def following_signals(self) -> Generator[None]:
        """Inside the block SIGINT and SIGTERM begin the drain under any server, such as the `uvicorn` command.

        Uvicorn waits for streams to end but tells nobody to end them. Its own handlers run first.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM)}
        handlers = {sig: handler for sig, handler in before.items() if callable(handler)}
        for sig, handler in handlers.items():
            signal.signal(sig, self._draining_after(handler))
        try:
            yield
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)

    def _draining_after(self, handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def handle(sig: int, frame: FrameType | None) -> None:
            handler(sig, frame)
            self.begin_drain()

        return handle
