"""The audit log: who did what that others may ask about later. One JSON object a line, in a file and as an event `audit`.

The inference server writes the same lines into a file of its own; `mlx-hub audit` shows both.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

log = structlog.get_logger(__name__)

FILE_NAME = "audit.jsonl"
MAX_BYTES = 10_000_000
NUM_KEPT = 5
"""Full files, `audit.jsonl.1` is the newest of them."""
_SERVICE = "backend"
_READABLE_BY_OWNER = 0o600


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """`actor` is "local", "environment", "key", "command" for `mlx-hub` on the database, or "unknown" for a key that no one has.

    `action` is method and route (`DELETE /api/v1/models/{model_id}`), `target` what stood for the names in braces.
    """

    actor: str
    action: str
    outcome: Literal["done", "failed", "refused"]
    key_id: str | None = None
    key_name: str | None = None
    target: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    """Why a key was refused."""
    status: int | None = None
    request_id: str | None = None
    client: str | None = None


class AuditLog:
    """May be used by any thread, and by several processes on one file. It waits for the disk."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, num_kept: int = NUM_KEPT) -> None:
        self._path = folder / FILE_NAME
        self._max_bytes = max_bytes
        self._num_kept = num_kept

    def append(self, event: AuditEvent) -> None:
        """What cannot be written to the file is in the service's log all the same: the request is not to blame."""
        fields = asdict(event)
        log.info("audit", **fields)
        row = {"at": datetime.now(UTC).isoformat(), "service": _SERVICE, **fields}
        try:
            self._write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            log.error("audit_not_written", path=str(self._path), reason=error.strerror)

    def _write(self, line: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self._path.exists() and self._path.stat().st_size + len(line) > self._max_bytes:
                self._rotate()
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, _READABLE_BY_OWNER)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """Alone among all processes: two that rotate at once would lose a file."""
        lock = os.open(self._path.with_name(f".{FILE_NAME}.lock"), os.O_WRONLY | os.O_CREAT, _READABLE_BY_OWNER)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _rotate(self) -> None:
        for number in range(self._num_kept, 1, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{FILE_NAME}.{number}")
