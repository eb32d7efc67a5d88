"""The newest value of something that may be slow or hang, such as a sensor, read in a thread of its own."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import psutil

T = TypeVar("T")

_MAX_AGE_SECONDS = 3.5


class Latest(Generic[T]):
    """Calls `read` once a second. Every method may be called from any thread, and none of them ever waits for `read`.

    The thread is a daemon: one that hangs in its sensor holds up neither the value's readers nor the end of the process.
    """

    def __init__(self, name: str, read: Callable[[], T | None], *, interval_seconds: float = 1.0) -> None:
        self._read = read
        self._interval_seconds = interval_seconds
        self._seen: tuple[float, T | None] = (0.0, None)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sensor-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The thread ends when `read` next returns."""
        self._is_closed.set()

    @property
    def value(self) -> T | None:
        """None before the first reading, when it failed, and when it has become old."""
        at, value = self._seen
        return value if time.monotonic() - at < _MAX_AGE_SECONDS + self._interval_seconds else None

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                value = self._read()
            except (OSError, ValueError, psutil.Error):
                value = None
            self._seen = (time.monotonic(), value)
            self._is_closed.wait(self._interval_seconds)
