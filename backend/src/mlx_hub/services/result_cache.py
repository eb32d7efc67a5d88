"""Results kept on disk under what they were computed from; a cache fails only into a miss."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

import msgspec
import structlog

S = TypeVar("S", bound=msgspec.Struct)

MAX_ENTRIES = 500

log = structlog.get_logger(__name__)


class ResultCache(Generic[S]):
    """JSON files of one type in one folder; the least recently used go. `read` and `write` block on the disk."""

    def __init__(self, folder: Path, shape: type[S], *, max_entries: int = MAX_ENTRIES) -> None:
        self._folder = folder
        self._shape = shape
        self._max_entries = max_entries

    async def answer(self, key: tuple[object, ...], work: Callable[[], Awaitable[S]]) -> S:
        """The known result; else that of `work`, which is known from then on."""
        if (known := await asyncio.to_thread(self.read, key)) is not None:
            return known
        found = await work()
        await asyncio.to_thread(self.write, key, found)
        return found

    def read(self, key: tuple[object, ...]) -> S | None:
        path = self._path(key)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=self._shape)
            path.touch()
        except (OSError, msgspec.DecodeError):
            return None
        return found

    def write(self, key: tuple[object, ...], value: S) -> None:
        part = self._folder / f".{uuid4().hex}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(value))
            part.replace(self._path(key))
            self._evict()
        except OSError as error:
            log.warning("result_not_cached", reason=str(error))

    def _path(self, key: tuple[object, ...]) -> Path:
        text = msgspec.json.encode([version("mlx-hub"), self._shape.__name__, *key])
        return self._folder / f"{hashlib.sha256(text).hexdigest()}.json"

    def _evict(self) -> None:
        """Whatever lies in the folder counts, so parts that a crash left go as well."""
        files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[self._max_entries :]:
            path.unlink(missing_ok=True)
