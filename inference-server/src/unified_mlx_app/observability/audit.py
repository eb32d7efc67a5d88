"""The audit log: one JSON object a line, in a file that is turned over when it is full.

The backend writes the same lines into a file of its own; `mlx-hub audit` shows both.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

MAX_BYTES = 10 * 10**6
NUM_KEPT = 5
"""Full files, `audit.jsonl.1` is the newest of them."""
_READABLE_BY_OWNER = 0o600


class AuditLog:
    """May be used by any thread, and by several processes on one file. It waits for the disk."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, num_kept: int = NUM_KEPT) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._num_kept = num_kept

    def append(self, event: dict[str, object]) -> None:
        """Raises OSError; what was written before stays as it is."""
        line = msgspec.json.encode(event) + b"\n"
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self._path.exists() and self._path.stat().st_size + len(line) > self._max_bytes:
                self._turn_over()
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, _READABLE_BY_OWNER)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """Alone among all processes: two that turn the file over at once would lose one."""
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_WRONLY | os.O_CREAT, _READABLE_BY_OWNER)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _turn_over(self) -> None:
        """The newest becomes `.1`, what was `.1` becomes `.2`; the oldest goes."""
        for number in range(self._num_kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
