"""A model of somebody's own from its folder to the model cache: copied, hashed on the way, and checked like a download."""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.adapter_export import describe_export, make_part
from mlx_hub.core.durable_files import publish_folder
from mlx_hub.core.manifest import FileFacts, Manifest, save_manifest
from mlx_hub.core.tool_files import RESULT_FILE, Progress, read_result, write_progress, write_result
from mlx_hub.models.job import Task
from mlx_hub.services.local_model import LocalModel, Origin
from mlx_hub.services.model_check import check_config, check_weights
from mlx_hub.services.model_folder import FolderFile, ModelFolder, read_model_folder, refused, telling_of_folder
from mlx_hub.services.worker_context import WorkerContext

_CHUNK_BYTES = 4 * 2**20
_REPORT_SECONDS = 0.25

Check = Callable[[], None]


class ImportedModel:
    """Belongs to one attempt at its task."""

    def __init__(self, context: WorkerContext, task: Task, job_dir: Path) -> None:
        self.local = LocalModel(context, task)
        self._path: str = task.arguments["path"]
        self._job_dir = job_dir

    async def prepared(self) -> ModelFolder | None:
        """What is to be copied, as it is now, with room made for it; None when an earlier attempt has copied it.

        Raises InvalidInputError and StorageFullError.
        """
        if await asyncio.to_thread(self._is_copied):
            return None
        await asyncio.to_thread(self.local.discard)
        folder = await asyncio.to_thread(read_model_folder, self._path)
        await self.local.make_room(folder.num_bytes)
        return folder

    def _is_copied(self) -> bool:
        return (self._job_dir / RESULT_FILE).is_file() and self.local.is_whole(read_result(self._job_dir)["sha256"])

    def copy(self, folder: ModelFolder | None, *, check: Check) -> dict[str, Any]:
        """Make the local model's folder, which appears when it is whole and sound; what it returns describes it. Blocks.

        `check` may raise while it works. Raises InvalidInputError.
        """
        if folder is None:
            return read_result(self._job_dir)
        part = make_part(self.local.output)
        meter = _Meter(self._job_dir, folder.num_bytes)
        facts: dict[str, FileFacts] = {}
        for file in folder.files:
            digest = hashlib.sha256()
            with (part / file.name).open("xb") as target:
                for piece in _pieces(file):
                    check()
                    target.write(piece)
                    digest.update(piece)
                    meter.add(len(piece))
            facts[file.name] = FileFacts(file.num_bytes, digest.hexdigest())
        meter.tell("checking")
        with telling_of_folder():
            check_config(part)
            check_weights(part)
        manifest = Manifest(facts)
        save_manifest(part, manifest)
        publish_folder(part, self.local.output)
        result = describe_export(manifest)
        write_result(self._job_dir, result)
        return result

    async def origin(self, _session: AsyncSession, _result: dict[str, Any]) -> Origin:
        return Origin(f"Imported from {self._path}.", {"imported_from": Path(self._path).name})


class _Meter:
    """Tells now and then how many of the bytes are copied."""

    def __init__(self, job_dir: Path, num_bytes: int) -> None:
        self._job_dir = job_dir
        self._num_bytes = num_bytes
        self._num_done = 0
        self._told_at = 0.0

    def add(self, num_bytes: int) -> None:
        self._num_done += num_bytes
        if time.monotonic() - self._told_at >= _REPORT_SECONDS:
            self.tell("copying")

    def tell(self, phase: str) -> None:
        self._told_at = time.monotonic()
        write_progress(self._job_dir, Progress(phase, self._num_done / self._num_bytes))


def _pieces(file: FolderFile) -> Iterator[bytes]:
    """All of the file. Raises InvalidInputError when it cannot be read, or is not what it was when the folder was looked at."""
    num_left = file.num_bytes
    try:
        # What has become a link or a pipe since is neither followed nor waited for.
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            while is_regular and num_left >= 0 and (piece := source.read(_CHUNK_BYTES)):
                num_left -= len(piece)
                yield piece
    except OSError as error:
        raise refused(f"The worker cannot read {file.path}: {error.strerror}.") from error
    if num_left:
        raise refused(f"{file.path} changed while it was copied: import the folder again when nobody writes to it.")
