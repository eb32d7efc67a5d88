"""SIGTERM and SIGINT as a request that the training thread meets at its next safe point."""

import signal
import threading
from types import FrameType


class StopRequestedError(Exception):
    """Raised at a safe point after a signal asked the process to stop."""


class StopRequest:
    """Set by signals, which only the main thread may `listen` for."""

    def __init__(self) -> None:
        self.num_checks = 0
        """Safe points passed, which shows that the work goes on."""
        self._is_set = threading.Event()

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """A safe point. Raises StopRequestedError once a stop was asked for."""
        self.num_checks += 1
        if self._is_set.is_set():
            raise StopRequestedError

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_set.set()
