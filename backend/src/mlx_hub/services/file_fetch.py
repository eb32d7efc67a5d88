"""One file from the hub onto the disk: continued where it stopped, in whatever process, and checked by its hash."""

import asyncio
import hashlib
import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import httpx
import structlog

from mlx_hub.core.durable_files import sync
from mlx_hub.errors import UpstreamDownError, UpstreamError
from mlx_hub.services.download_plan import PlannedFile
from mlx_hub.services.hub_client import HubClient

PART_SUFFIX = ".part"
_WRITE_BYTES = 2**20
_WRITE_SECONDS = 0.25
"""At most so much is lost when the process is killed."""
_HASH_BYTES = 8 * 2**20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retries:
    """After `max_failures` failures in a row without a byte of progress the work is given up."""

    max_failures: int = 8
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 60.0

    def delay_seconds(self, error: UpstreamDownError, num_failures: int) -> float:
        """What the hub asks for, else twice as long each time, spread a little so that clients do not come together."""
        if error.retry_after_seconds is not None:
            return float(error.retry_after_seconds)
        delay = min(self.max_delay_seconds, self.first_delay_seconds * 2 ** (num_failures - 1))
        return delay * random.uniform(0.75, 1.25)


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where a file comes from."""

    hub: HubClient
    repo_id: str
    commit: str


async def retrying(work: Callable[[], Awaitable[T]], retries: Retries, *, progress: Callable[[], int] = int) -> T:
    """The result of `work`, tried again while the hub is down. `progress` is a number that grows when work gets on."""
    num_failures, seen = 0, progress()
    while True:
        try:
            return await work()
        except UpstreamDownError as error:
            num_failures = 1 if progress() > seen else num_failures + 1
            seen = progress()
            if num_failures > retries.max_failures:
                raise
            log.info("hub_retry", num_failures=num_failures, reason=error.message)
            await asyncio.sleep(retries.delay_seconds(error, num_failures))


def bytes_on_disk(folder: Path, file: PlannedFile) -> int:
    """Bytes of `file` that need not be fetched again, as far as its size tells."""
    for path in (folder / file.name, folder / (file.name + PART_SUFFIX)):
        if path.is_file():
            return min(path.stat().st_size, file.num_bytes)
    return 0


async def fetch_file(
    source: FileSource, file: PlannedFile, folder: Path, *, retries: Retries, on_bytes: Callable[[str, int], None]
) -> None:
    """Leave `file` in `folder` with the right hash. `on_bytes` hears its name and the bytes that are there.

    May be cancelled at any moment and called again. Raises UpstreamError when the bytes are wrong twice.
    """
    target, part = folder / file.name, folder / (file.name + PART_SUFFIX)
    if bytes_on_disk(folder, file) == file.num_bytes and target.exists():
        on_bytes(file.name, file.num_bytes)
        return
    for is_last in (False, True):
        await retrying(lambda: _fetch_rest(source, file, part, on_bytes), retries, progress=lambda: _size(part))
        if await _digest(part, file) == file.digest:
            await asyncio.to_thread(_settle, part, target)
            return
        log.warning("hub_file_wrong", model=source.repo_id, file=file.name, gives_up=is_last)
        part.unlink()
        on_bytes(file.name, 0)
    raise UpstreamError(f"{file.name} arrived twice with bytes that do not match the hash on the hub; try again later.")


async def _fetch_rest(source: FileSource, file: PlannedFile, part: Path, on_bytes: Callable[[str, int], None]) -> None:
    offset = _usable_bytes(part, file)
    if offset == file.num_bytes > 0:
        return
    async with source.hub.open_file(source.repo_id, source.commit, file.name, offset=offset) as response:
        start = _start_of(response, offset)
        with _open_part(part, start) as opened:
            await _write(response, opened, file, start=start, on_bytes=on_bytes)
    if _size(part) < file.num_bytes:
        raise UpstreamDownError("The hub ended the file early.")


def _start_of(response: httpx.Response, offset: int) -> int:
    """The byte that the answer starts with: `offset`, or 0 from a server that knows no ranges."""
    if response.status_code != 206:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if not found or int(found[1]) != offset:
        raise UpstreamError("The hub sent another part of the file than was asked for.")
    return offset


async def _write(
    response: httpx.Response, opened: BinaryIO, file: PlannedFile, *, start: int, on_bytes: Callable[[str, int], None]
) -> None:
    """Append in large steps. However this ends, the file is a prefix of what was sent."""
    buffer, done, written_at = bytearray(), start, time.monotonic()
    try:
        async for piece in response.aiter_raw():
            buffer += piece
            done += len(piece)
            if done > file.num_bytes:
                raise UpstreamError(f"The hub sends more bytes of {file.name} than it has listed.")
            if len(buffer) >= _WRITE_BYTES or time.monotonic() - written_at > _WRITE_SECONDS:
                full, buffer = buffer, bytearray()
                await asyncio.to_thread(_append, opened, full)
                written_at = time.monotonic()
                on_bytes(file.name, done)
    finally:
        _append(opened, buffer)
    on_bytes(file.name, done)


def _open_part(part: Path, start: int) -> BinaryIO:
    return part.open("ab" if start else "wb")


def _append(opened: BinaryIO, content: bytearray) -> None:
    opened.write(content)
    opened.flush()


def _usable_bytes(part: Path, file: PlannedFile) -> int:
    """What is there to be continued; nothing, when it is longer than the file."""
    if _size(part) > file.num_bytes:
        part.unlink()
    return _size(part)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


async def _digest(part: Path, file: PlannedFile) -> str:
    """Hash of the bytes on disk, in steps, so that it can be cancelled."""
    digest = hashlib.sha256() if file.algorithm == "sha256" else hashlib.sha1(b"blob %d\0" % file.num_bytes)
    with _open_read(part) as opened:
        while await asyncio.to_thread(_hash_step, opened, digest.update):
            pass
    return digest.hexdigest()


def _open_read(part: Path) -> BinaryIO:
    return part.open("rb")


def _hash_step(opened: BinaryIO, update: Callable[[bytes], None]) -> int:
    content = opened.read(_HASH_BYTES)
    update(content)
    return len(content)


def _settle(part: Path, target: Path) -> None:
    """Give the file its name when its bytes are certain to survive a power cut."""
    with part.open("rb") as opened:
        os.fsync(opened.fileno())
    part.replace(target)
    sync(target.parent)
