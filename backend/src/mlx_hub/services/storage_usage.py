"""How many bytes of the disk each of our folders takes."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psutil

from mlx_hub.config import Settings
from mlx_hub.models.base import utc_now
from mlx_hub.observability.host import existing

FolderName = Literal["models", "partial_downloads", "datasets", "runs", "adapters", "exports", "mlflow", "database", "other"]

_KEPT_SECONDS = 30.0
_MAX_SECONDS = 10.0
_BLOCK_BYTES = 512
"""What `st_blocks` counts, whatever the file system's blocks are."""
_DATA_FOLDERS: tuple[FolderName, ...] = ("datasets", "runs", "adapters", "exports", "mlflow")


@dataclass(frozen=True, slots=True)
class FolderUsage:
    name: FolderName
    num_bytes: int
    num_files: int


@dataclass(frozen=True, slots=True)
class Storage:
    """`is_complete` is False when the time was up: the numbers are then of what was counted by then."""

    folders: list[FolderUsage]
    disk_total_bytes: int | None
    disk_free_bytes: int | None
    measured_at: datetime
    is_complete: bool


class StorageUsage:
    """One a process, used on its event loop: callers at the same time share one count, which is kept for half a minute."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._newest: tuple[float, Storage] | None = None

    async def read(self) -> Storage:
        async with self._lock:
            if self._newest is None or time.monotonic() - self._newest[0] > _KEPT_SECONDS:
                found = await asyncio.to_thread(_measure, self._settings.data_dir, self._settings.model_cache_dir)
                self._newest = (time.monotonic(), found)
            return self._newest[1]


def _measure(data_dir: Path, model_cache_dir: Path) -> Storage:
    deadline = time.monotonic() + _MAX_SECONDS
    sums: dict[FolderName, list[int]] = {}
    is_complete = True
    seen: set[tuple[int, int]] = set()
    for name, file in _files(data_dir, model_cache_dir):
        if time.monotonic() > deadline:
            is_complete = False
            break
        with suppress(OSError):
            stat = file.stat(follow_symlinks=False)
            # A file with several names takes its place once.
            if (stat.st_dev, stat.st_ino) not in seen:
                seen.add((stat.st_dev, stat.st_ino))
                total = sums.setdefault(name, [0, 0])
                total[0] += stat.st_blocks * _BLOCK_BYTES
                total[1] += 1
    disk = None
    with suppress(OSError):
        disk = psutil.disk_usage(str(existing(data_dir)))
    return Storage(
        folders=[FolderUsage(name, *total) for name, total in sums.items()],
        disk_total_bytes=disk.total if disk else None,
        disk_free_bytes=disk.free if disk else None,
        measured_at=utc_now(),
        is_complete=is_complete,
    )


def _files(data_dir: Path, model_cache_dir: Path) -> Iterator[tuple[FolderName, "os.DirEntry[str]"]]:
    for path, file in _walk(model_cache_dir):
        yield ("partial_downloads" if path[:1] == (".partial",) else "models"), file
    if not data_dir.is_relative_to(model_cache_dir):
        for path, file in _walk(data_dir, without=model_cache_dir):
            yield _name_of(path, file.name), file


def _name_of(path: tuple[str, ...], file_name: str) -> FolderName:
    for name in _DATA_FOLDERS:
        if path[:1] == (name,):
            return name
    return "database" if not path and ".db" in file_name else "other"


def _walk(
    root: Path, path: tuple[str, ...] = (), *, without: Path | None = None
) -> Iterator[tuple[tuple[str, ...], "os.DirEntry[str]"]]:
    """All files below `root` but those below `without`, each with the folders that lead to it.

    What vanishes meanwhile or cannot be read is left out.
    """
    with suppress(OSError), os.scandir(root.joinpath(*path)) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if Path(entry.path) != without:
                    yield from _walk(root, (*path, entry.name), without=without)
            else:
                yield path, entry
