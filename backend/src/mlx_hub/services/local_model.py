"""A model that was made here on its way into the model cache, where it lies as if it came from the hub, and its rows."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.adapter_export import part_of
from mlx_hub.core.manifest import Manifest, read_manifest
from mlx_hub.errors import ConflictError, InUseError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, DownloadStatus, Task
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services import model_cache
from mlx_hub.services.download_plan import PlannedFile
from mlx_hub.services.maintenance import served_models
from mlx_hub.services.model_check import describe_model
from mlx_hub.services.tasks import refuse_taken_name
from mlx_hub.services.worker_context import WorkerContext

REVISION = "main"
_COMMIT_CHARACTERS = 40
"""As long as the hub's, so that readers of its cache take it for a commit."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the registered model tells of where it came from. Without a `task_type`, the usual one."""

    description: str
    tags: dict[str, str] = field(default_factory=dict)
    task_type: str | None = None


class LocalModel:
    """The result of one task that is called `local/<name>`; belongs to one attempt at it.

    Whoever makes it lets the folder `output`, with a manifest, appear when it is whole; then `publish`, then `register`.
    """

    def __init__(self, context: WorkerContext, task: Task) -> None:
        self._context = context
        self._folder = context.folder
        self.name: str = task.arguments["name"]
        self.output = self._folder.partial(self.name, task.id.hex)
        self._commit: str | None = None
        self._manifest: Manifest | None = None
        self._details: dict[str, Any] = {}

    def is_whole(self, sha256: str) -> bool:
        """Whether an earlier attempt has made it, and perhaps published it. Blocks."""
        return self.output.is_dir() or self._folder.snapshot(self.name, _commit(sha256)).is_dir()

    async def make_room(self, num_bytes: int) -> None:
        """Evict what must go for a model of at most this size. Raises StorageFullError."""
        wanted = Download(repo_id=self.name, revision=REVISION, store_id=self._context.store_id, num_bytes_total=num_bytes)
        max_bytes = self._context.settings.model_cache_max_size
        served = await served_models(self._context)
        async with self._context.sessions.begin() as session:
            room = await model_cache.make_room(session, self._folder, wanted, max_bytes=max_bytes, served=served)
        await room.delete_trash()

    async def publish(self, sha256: str) -> None:
        """Let the finished folder appear in the cache, as one that was published before the worker died stays."""
        async with self._context.readers.begin() as session:
            await refuse_taken_name(session, self.name)
        await asyncio.to_thread(self._publish, _commit(sha256))

    def _publish(self, commit: str) -> None:
        snapshot = self._folder.snapshot(self.name, commit)
        with self._folder.exclusive(self.name, commit):
            if not snapshot.is_dir():
                self.output.rename(self._folder.partial(self.name, commit))
                self._folder.publish(self.name, commit, revision=REVISION)
            self._folder.write_ref(self.name, commit, revision=REVISION)
        self._commit = commit
        self._manifest = read_manifest(snapshot)
        self._details = describe_model(self.name, snapshot)

    async def register(self, session: AsyncSession, origin: Origin) -> dict[str, Any]:
        """Add the registered model, and a download that is ready and pinned: it cannot be fetched again once it is evicted.

        Raises ConflictError when the name was taken in the meantime.
        """
        assert self._commit is not None
        await refuse_taken_name(session, self.name)
        model = await self._add_model(session, origin)
        download = await self._ready_download(session, model)
        return {
            "name": self.name,
            "commit": self._commit,
            "path": download.path,
            "model_id": str(model.id),
            "download_id": str(download.id),
        }

    async def _add_model(self, session: AsyncSession, origin: Origin) -> RegisteredModel:
        model = RegisteredModel(
            name=self.name, base_model=self.name, kind=ModelKind.BASE, description=origin.description, tags=origin.tags
        )
        model.task_type = origin.task_type or model.task_type
        session.add(model)
        try:
            await session.flush()
        except IntegrityError as error:
            raise ConflictError(f"There is a model named {self.name!r} already.", field="name") from error
        return model

    async def _ready_download(self, session: AsyncSession, model: RegisteredModel) -> Download:
        assert self._manifest is not None
        query = select(Download).where(col(Download.repo_id) == self.name, col(Download.revision) == REVISION)
        row = (await session.exec(query)).one_or_none() or Download(repo_id=self.name, revision=REVISION)
        now = utc_now()
        row.sqlmodel_update(
            {
                "store_id": self._context.store_id,
                "machine_id": self._context.machine_id,
                "commit": self._commit,
                "status": DownloadStatus.READY,
                "num_bytes_total": self._manifest.num_bytes,
                "num_bytes_done": self._manifest.num_bytes,
                "files": [
                    PlannedFile(name, facts.num_bytes, "sha256", facts.sha256).as_row()
                    for name, facts in self._manifest.files.items()
                ],
                "path": str(self._folder.snapshot(self.name, self._commit or "")),
                "details": self._details,
                "is_pinned": True,
                "registers_model": True,
                "model_id": model.id,
                "error_code": None,
                "error_message": None,
                "completed_at": now,
                "last_used_at": now,
            }
        )
        session.add(row)
        await session.flush()
        return row

    def discard(self) -> None:
        """Delete what there is of it. Blocks."""
        for folder in (self.output, part_of(self.output)):
            shutil.rmtree(folder, ignore_errors=True)
        if self._commit is None:
            return
        with suppress(InUseError), self._folder.exclusive(self.name, self._commit):
            trash = self._folder.discard(self.name, self._commit)
            if trash:
                shutil.rmtree(trash, ignore_errors=True)


def _commit(sha256: str) -> str:
    return sha256[:_COMMIT_CHARACTERS]
