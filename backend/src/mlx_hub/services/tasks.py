"""The rows of tasks: exports, quantisations and imports asked for, listed, cancelled. The work itself is in `task_run`."""

import asyncio
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import ConflictError, InvalidInputError, NotFoundError, WrongStateError
from mlx_hub.models.base import Page, PageRequest, utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import ENDED, Download, DownloadStatus, JobStatus, Task
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.hub_client import check_repo_id
from mlx_hub.services.model_folder import ModelFolder
from mlx_hub.services.registry import get_row, root_model
from mlx_hub.services.task_events import EXPORT, IMPORT, QUANTISE, publish_task
from mlx_hub.services.versions import get_version_row

LOCAL_OWNER = "local"
"""Models that are made here are named `local/<name>`, as the hub has no such owner."""
OUTPUT = "output"
_EXPORTS = "exports"
_MAX_NAME_CHARACTERS = 96
_NAMES_LOCK_KEY = 0x6D6C785F6E616D


class ExportFormat(StrEnum):
    """mlx-lm's adapter, the same in PEFT's form, or a whole model with the adapter inside."""

    ADAPTER = "adapter"
    PEFT = "peft"
    FUSED = "fused"


@dataclass(frozen=True, slots=True)
class QuantiseRequest:
    """Without a `name` it is made from the model's; without a `dataset_id` a text of our own is measured."""

    bits: int
    group_size: int | None = None
    name: str | None = None
    dataset_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks are done: the store of the data folder, and the model cache."""

    store_id: str
    folder: CacheFolder


def job_folder(data_dir: Path, task_id: UUID) -> Path:
    """Where a task has its files; an export's are in `output` there, once they are whole."""
    return data_dir / _EXPORTS / str(task_id)


def needs_accelerator(task: Task) -> bool:
    """Whether it puts a model into memory; one such at a time on a machine."""
    return task.kind == QUANTISE or task.arguments.get("format") == ExportFormat.FUSED


async def request_export(
    session: AsyncSession, place: Place, model_id: UUID, *, format: ExportFormat, version: int | None = None
) -> Task:
    """Queue the export of a version, the newest when none is named.

    Raises NotFoundError for an unknown model or version, WrongStateError for a model without versions or, to be fused, whose
    base model is not here, InvalidInputError for a format that the version cannot have.
    """
    model = await get_row(session, model_id, is_locked=True)
    row = await _version(session, model, version)
    if format == ExportFormat.PEFT and row.config.get("fine_tune_type") == "full":
        raise InvalidInputError("A full fine-tune is no adapter and has no PEFT format; export it as fused.", field="format")
    if format == ExportFormat.FUSED:
        await _base_on_disk(session, place, await root_model(session, model))
    arguments = {"format": str(format), "version": row.version, "version_id": str(row.id), "model_name": model.name}
    return await _add(session, Task(store_id=place.store_id, kind=EXPORT, subject_id=model.id, arguments=arguments))


async def _version(session: AsyncSession, model: RegisteredModel, version: int | None) -> ModelVersion:
    if version is not None:
        return await get_version_row(session, model.id, version)
    newest = select(ModelVersion).where(col(ModelVersion.model_id) == model.id).order_by(col(ModelVersion.version).desc())
    row = (await session.exec(newest)).first()
    if row is None:
        raise WrongStateError(f"{model.name!r} has no version to export: train one first.", field="version")
    return row


async def request_quantise(session: AsyncSession, place: Place, model_id: UUID, request: QuantiseRequest) -> Task:
    """Queue the quantisation of a base model, which becomes the registered model `local/<name>`.

    Raises NotFoundError for an unknown model or dataset, WrongStateError for one that has no weights of its own here or is
    quantised already, ConflictError for a name that is taken, InvalidInputError for one that cannot be a folder.
    """
    model = await get_row(session, model_id, is_locked=True)
    if model.base_model_id is not None:
        raise WrongStateError(f"{model.name!r} is an adapter: quantise its base model, or export it as fused.")
    download = await _base_on_disk(session, place, model)
    if download is not None and download.details.get("quantization"):
        known = download.details["quantization"]
        raise WrongStateError(f"{model.name!r} is quantised already ({known}): quantise the model that it was made from.")
    if request.dataset_id is not None and await session.get(Dataset, request.dataset_id) is None:
        raise NotFoundError("There is no such dataset.", field="dataset_id")
    name = _local_name(request.name or f"{_plain(model.name)}-{request.bits}bit")
    await _claim_name(session, name)
    arguments = {
        "bits": request.bits,
        "group_size": request.group_size,
        "name": name,
        "dataset_id": str(request.dataset_id) if request.dataset_id else None,
        "model_name": model.name,
    }
    return await _add(session, Task(store_id=place.store_id, kind=QUANTISE, subject_id=model.id, arguments=arguments))


async def request_import(session: AsyncSession, place: Place, folder: ModelFolder, *, name: str | None = None) -> Task:
    """Queue the copy of a folder of this machine into the model cache, as the registered model `local/<name>`.

    Without a `name` it is the folder's. Raises InvalidInputError for a name that cannot be a folder, ConflictError for one
    that is taken.
    """
    name = _local_name(name or _plain(folder.name))
    await _claim_name(session, name)
    arguments = {"path": str(folder.path), "name": name, "num_files": len(folder.files), "num_bytes": folder.num_bytes}
    task_id = uuid4()
    return await _add(session, Task(id=task_id, store_id=place.store_id, kind=IMPORT, subject_id=task_id, arguments=arguments))


async def _base_on_disk(session: AsyncSession, place: Place, model: RegisteredModel) -> Download | None:
    """The download of the model's weights; None for weights that were never one. Raises WrongStateError when there are none."""
    name = model.base_model
    ready = (col(Download.repo_id) == name, col(Download.status) == DownloadStatus.READY)
    download = (await session.exec(select(Download).where(*ready))).first()
    if download is None and not await asyncio.to_thread(_is_on_disk, place.folder, name):
        raise WrongStateError(f"The weights of {name} are not in the model cache: download them first.")
    return download


def _is_on_disk(folder: CacheFolder, name: str) -> bool:
    return Path(name, "config.json").is_file() if name.startswith("/") else folder.read_ref(name, "main") is not None


def _plain(name: str) -> str:
    """The last part of a model's name with only such characters as a folder may have."""
    plain = re.sub(r"[^A-Za-z0-9._]+|\.\.+", "-", name.rpartition("/")[2]).strip("._-")
    return plain[: _MAX_NAME_CHARACTERS - len("-4bit")] or "model"


def _local_name(name: str) -> str:
    try:
        return check_repo_id(f"{LOCAL_OWNER}/{name}")
    except InvalidInputError as error:
        message = "Write a name of letters, digits, '.', '_' and '-' that begins with a letter or digit and has no '..' or '--'."
        raise InvalidInputError(message, field="name") from error


async def refuse_taken_name(session: AsyncSession, name: str) -> None:
    """Raises ConflictError when a model or a download has the name."""
    models = select(RegisteredModel.id).where(col(RegisteredModel.name) == name)
    downloads = select(Download.id).where(col(Download.repo_id) == name, col(Download.status) == DownloadStatus.READY)
    if (await session.exec(models)).first() or (await session.exec(downloads)).first():
        raise ConflictError(f"There is a model named {name!r} already; choose another name.", field="name")


async def _claim_name(session: AsyncSession, name: str) -> None:
    """Raises ConflictError when a model, a download or another task has the name."""
    if session.get_bind().dialect.name == "postgresql":
        # Of two that ask at the same moment the second sees the first's task.
        await session.exec(select(func.pg_advisory_xact_lock(_NAMES_LOCK_KEY)))
    await refuse_taken_name(session, name)
    active = select(Task).where(col(Task.kind).in_((QUANTISE, IMPORT)), col(Task.status).not_in(ENDED))
    if any(task.arguments.get("name") == name for task in (await session.exec(active)).all()):
        raise ConflictError(f"Another task is making {name!r}; wait for it or choose another name.", field="name")


async def _add(session: AsyncSession, task: Task) -> Task:
    session.add(task)
    await session.flush()
    await publish_task(session, task)
    return task


async def read_task(session: AsyncSession, task_id: UUID) -> Task:
    """Raises NotFoundError."""
    task = await session.get(Task, task_id, populate_existing=True)
    if task is None:
        raise NotFoundError("There is no such task.")
    return task


async def list_tasks(
    session: AsyncSession, page: PageRequest, *, kinds: list[str] | None = None, statuses: list[JobStatus] | None = None
) -> Page[Task]:
    """The newest first. None is of every kind, or status."""
    conditions = [col(Task.kind).in_(kinds)] if kinds else []
    conditions += [col(Task.status).in_(statuses)] if statuses else []
    total = (await session.exec(select(func.count()).select_from(Task).where(*conditions))).one()
    query = select(Task).where(*conditions).order_by(col(Task.created_at).desc(), col(Task.id))
    rows = (await session.exec(query.offset(page.offset).limit(page.size))).all()
    return Page(items=list(rows), total=total, page=page.number, page_size=page.size)


async def cancel_task(session: AsyncSession, task_id: UUID) -> Task:
    """End a queued one at once and a running one soon. Raises WrongStateError for one that has ended."""
    await read_task(session, task_id)
    ended: dict[str, Any] = {"status": JobStatus.CANCELLED, "phase": "cancelled", "completed_at": utc_now()}
    is_done = await _change(session, task_id, JobStatus.QUEUED, {"is_cancel_requested": True, **ended}) or await _change(
        session, task_id, JobStatus.RUNNING, {"is_cancel_requested": True}
    )
    task = await read_task(session, task_id)
    if not is_done:
        raise WrongStateError(f"A task that is {task.status} cannot be cancelled.")
    await publish_task(session, task)
    return task


async def _change(session: AsyncSession, task_id: UUID, status: JobStatus, values: dict[str, Any]) -> bool:
    """Whether it had that status."""
    result = await session.exec(update(Task).where(col(Task.id) == task_id, col(Task.status) == status).values(**values))
    return bool(result.rowcount)
