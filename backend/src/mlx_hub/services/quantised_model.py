"""A quantised model on its way into the model cache, where it lies as if it came from the hub, and its rows."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.adapter_export import part_of
from mlx_hub.core.manifest import Manifest, read_manifest
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.run_files import read_exit
from mlx_hub.core.tool_files import QuantiseSpec
from mlx_hub.errors import ConflictError, InUseError, WrongStateError
from mlx_hub.models.base import utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Download, DownloadStatus, Task
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services import model_cache
from mlx_hub.services.download_plan import PlannedFile
from mlx_hub.services.maintenance import served_models
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.model_check import describe_model
from mlx_hub.services.registry import get_row
from mlx_hub.services.tasks import refuse_taken_name
from mlx_hub.services.worker_context import WorkerContext

REVISION = "main"
_COMMIT_CHARACTERS = 40
"""As long as the hub's, so that readers of its cache take it for a commit."""
_SCALE_BITS = 64
"""Of a group's scale and bias, at most."""
_SMALLEST_GROUP = 32


class QuantisedModel:
    """Belongs to one attempt at its task."""

    def __init__(self, context: WorkerContext, task: Task, job_dir: Path) -> None:
        self._context = context
        self._folder = context.folder
        self._task = task
        self._job_dir = job_dir
        self._name: str = task.arguments["name"]
        self._output = self._folder.partial(self._name, task.id.hex)
        self._commit: str | None = None
        self._manifest: Manifest | None = None
        self._details: dict[str, Any] = {}

    @asynccontextmanager
    async def prepared(self) -> AsyncGenerator[QuantiseSpec]:
        """What to tell the tool, with the source protected and room made inside the block. Raises HubError."""
        arguments = self._task.arguments
        async with self._context.readers.begin() as session:
            source = await get_row(session, self._task.subject_id)
            dataset_file = await _dataset_file(session, arguments["dataset_id"])
        async with leased_snapshot(self._context.sessions, self._folder, source) as (snapshot, commit):
            if await asyncio.to_thread(read_exit, self._job_dir) is None:
                await self._make_room(snapshot)
            yield QuantiseSpec(
                model_path=str(snapshot),
                output_path=str(self._output),
                bits=arguments["bits"],
                group_size=arguments["group_size"],
                dataset_file=dataset_file,
                lineage=Lineage(
                    name=self._name,
                    base_model=source.base_model,
                    base_commit=commit,
                    created_at=self._task.created_at.isoformat(),
                ),
            )

    async def _make_room(self, snapshot: Path) -> None:
        """For at most what it can take: the source's size when most of it is not matrices."""
        files = await asyncio.to_thread(read_model_files, snapshot)
        bits = self._task.arguments["bits"] + _SCALE_BITS / _SMALLEST_GROUP
        matrices = sum(tensor.num_values for tensor in files.tensors.values() if len(tensor.shape) > 1)
        others = sum(tensor.num_bytes for tensor in files.tensors.values() if len(tensor.shape) <= 1)
        wanted = Download(
            repo_id=self._name, revision=REVISION, num_bytes_total=min(files.weights_bytes, int(matrices * bits / 8) + others)
        )
        max_bytes = self._context.settings.model_cache_max_size
        served = await served_models(self._context)
        async with self._context.sessions.begin() as session:
            room = await model_cache.make_room(session, self._folder, wanted, max_bytes=max_bytes, served=served)
        await room.delete_trash()

    async def publish(self, result: dict[str, Any]) -> None:
        """Let the finished folder appear in the cache, as one that was published before the worker died stays."""
        async with self._context.readers.begin() as session:
            await refuse_taken_name(session, self._name)
        await asyncio.to_thread(self._publish, result["sha256"][:_COMMIT_CHARACTERS])

    def _publish(self, commit: str) -> None:
        snapshot = self._folder.snapshot(self._name, commit)
        with self._folder.exclusive(self._name, commit):
            if not snapshot.is_dir():
                self._output.rename(self._folder.partial(self._name, commit))
                self._folder.publish(self._name, commit, revision=REVISION)
            self._folder.write_ref(self._name, commit, revision=REVISION)
        self._commit = commit
        self._manifest = read_manifest(snapshot)
        self._details = describe_model(self._name, snapshot)

    async def register(self, session: AsyncSession, result: dict[str, Any]) -> dict[str, Any]:
        """Add the registered model, and a download that is ready and pinned: it cannot be fetched again once it is evicted.

        Raises ConflictError when the name was taken in the meantime.
        """
        assert self._commit is not None
        await refuse_taken_name(session, self._name)
        model = await self._add_model(session, result)
        download = await self._ready_download(session, model)
        return {
            "name": self._name,
            "commit": self._commit,
            "path": download.path,
            "model_id": str(model.id),
            "download_id": str(download.id),
        }

    async def _add_model(self, session: AsyncSession, result: dict[str, Any]) -> RegisteredModel:
        source = await get_row(session, self._task.subject_id)
        model = RegisteredModel(
            name=self._name,
            base_model=self._name,
            kind=ModelKind.BASE,
            task_type=source.task_type,
            description=f"{source.name} in {result['bits']} bits.",
            tags={"quantised_from": source.name, "bits": str(result["bits"]), "group_size": str(result["group_size"])},
        )
        session.add(model)
        try:
            await session.flush()
        except IntegrityError as error:
            raise ConflictError(f"There is a model named {self._name!r} already.", field="name") from error
        return model

    async def _ready_download(self, session: AsyncSession, model: RegisteredModel) -> Download:
        assert self._manifest is not None
        query = select(Download).where(col(Download.repo_id) == self._name, col(Download.revision) == REVISION)
        row = (await session.exec(query)).one_or_none() or Download(repo_id=self._name, revision=REVISION)
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
                "path": str(self._folder.snapshot(self._name, self._commit or "")),
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
        for folder in (self._output, part_of(self._output)):
            shutil.rmtree(folder, ignore_errors=True)
        if self._commit is None:
            return
        with suppress(InUseError), self._folder.exclusive(self._name, self._commit):
            trash = self._folder.discard(self._name, self._commit)
            if trash:
                shutil.rmtree(trash, ignore_errors=True)


async def _dataset_file(session: AsyncSession, dataset_id: str | None) -> str | None:
    if dataset_id is None:
        return None
    dataset = await session.get(Dataset, UUID(dataset_id))
    if dataset is None:
        raise WrongStateError("The dataset was deleted in the meantime.")
    return dataset.path
