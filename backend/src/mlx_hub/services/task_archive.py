"""An export as one tar file, made while it is sent: its length is known before, and equal files give equal bytes."""

import asyncio
import re
import tarfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from mlx_hub.errors import NotFoundError, WrongStateError
from mlx_hub.models.job import Task
from mlx_hub.services.task_events import has_archive
from mlx_hub.services.tasks import OUTPUT, job_folder

CHUNK_BYTES = 2**20
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class _Member:
    file: Path
    header: bytes
    num_bytes: int

    @property
    def padding(self) -> int:
        return -self.num_bytes % _BLOCK


@dataclass(frozen=True, slots=True)
class Archive:
    """No file is open but while a chunk is read, so a reader that leaves leaves nothing behind."""

    file_name: str
    members: tuple[_Member, ...]

    @property
    def num_bytes(self) -> int:
        return sum(len(member.header) + member.num_bytes + member.padding for member in self.members) + len(_END)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The tar file from begin to end. Raises OSError when a file has gone or changed its size."""
        for member in self.members:
            yield member.header
            for offset in range(0, member.num_bytes, CHUNK_BYTES):
                size = min(CHUNK_BYTES, member.num_bytes - offset)
                yield await asyncio.to_thread(_read, member.file, offset, size)
            if member.padding:
                yield bytes(member.padding)
        yield _END


async def open_archive(task: Task, data_dir: Path) -> Archive:
    """The archive of a completed export. Raises WrongStateError when there is none (yet), NotFoundError when it was deleted."""
    if not has_archive(task):
        raise WrongStateError(f"A {task.kind} task that is {task.status} has no archive.")
    arguments = task.arguments
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", arguments["model_name"]).strip("-.") or "model"
    stem = f"{plain}-v{arguments['version']}-{arguments['format']}"
    members = await asyncio.to_thread(_members, job_folder(data_dir, task.id) / OUTPUT, stem)
    return Archive(f"{stem}.tar", members)


def _members(folder: Path, stem: str) -> tuple[_Member, ...]:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        return tuple(_member(file, f"{stem}/{file.name}") for file in files)
    except OSError as error:
        raise NotFoundError("The files of this export are gone; export again.") from error


def _member(file: Path, name: str) -> _Member:
    """Owner, times and mode are the same for all, whoever exported when."""
    info = tarfile.TarInfo(name)
    info.size = file.stat().st_size
    info.mode = 0o644
    return _Member(file, info.tobuf(tarfile.PAX_FORMAT), info.size)


def _read(file: Path, offset: int, size: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(offset)
        content = opened.read(size)
    if len(content) != size:
        raise OSError(f"{file} was cut short while it was sent")
    return content
