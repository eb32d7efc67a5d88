"""What a client asks of a new job, checked against what there is: model, dataset, settings, and the adapter's name."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.run_config import TrainingConfig, TrainingError, parse_config
from mlx_hub.errors import ConflictError, InvalidInputError, NotFoundError, WrongStateError
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import ENDED, Download, DownloadStatus, PromotionRule, TrainingJob
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.registry import get_row
from mlx_hub.services.training_results import is_adapter_of

_MAX_NAME_CHARACTERS = 200
_MAX_SUFFIX = 1000
_SETTING = re.compile(r"\$\.(\w+)|unknown field `(\w+)`")


@dataclass(frozen=True, slots=True)
class NewJob:
    """None is for what the service shall choose."""

    model_id: UUID
    dataset_id: UUID
    config: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    adapter_name: str | None = None
    promotion: PromotionRule = PromotionRule.IF_FIRST


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job that can be queued; `adapter_name` is settled."""

    model: RegisteredModel
    dataset: Dataset
    config: TrainingConfig
    adapter_name: str


async def settle_job(session: AsyncSession, folder: CacheFolder, wanted: NewJob) -> CheckedJob:
    """Raises NotFoundError and InvalidInputError that name the field, WrongStateError for a model that is not downloaded,
    and ConflictError for an adapter's name that belongs to something else.
    """
    config = parse_settings(wanted.config)
    model = await find_model(session, wanted.model_id)
    await check_weights(session, folder, model)
    dataset = await find_dataset(session, wanted.dataset_id)
    if wanted.adapter_name is None:
        return CheckedJob(model, dataset, config, await _free_name(session, model, dataset))
    if owner := await _other_owner(session, wanted.adapter_name, model):
        message = f"The name {wanted.adapter_name!r} belongs to {owner}; choose another adapter_name."
        raise ConflictError(message, field="adapter_name")
    return CheckedJob(model, dataset, config, wanted.adapter_name)


def parse_settings(values: dict[str, Any]) -> TrainingConfig:
    """Raises InvalidInputError that names the setting."""
    try:
        return parse_config(values)
    except TrainingError as error:
        found = _SETTING.search(error.message)
        setting = f".{found[1] or found[2]}" if found else ""
        raise InvalidInputError(error.message, field=f"config{setting}") from error


def settings_of(config: TrainingConfig) -> dict[str, Any]:
    """As JSON, with all defaults."""
    return msgspec.to_builtins(config)


async def find_model(session: AsyncSession, model_id: UUID) -> RegisteredModel:
    """A base model. Raises NotFoundError, and InvalidInputError for an adapter."""
    try:
        model = await get_row(session, model_id)
    except NotFoundError as error:
        raise NotFoundError(error.message, field="model_id") from error
    if model.kind != ModelKind.BASE:
        message = (
            f"{model.name!r} is an adapter; train on its base model {model.base_model!r}, and extend its job to train it on."
        )
        raise InvalidInputError(message, field="model_id")
    return model


async def check_weights(session: AsyncSession, folder: CacheFolder, model: RegisteredModel) -> None:
    """Raises WrongStateError when the model's weights are not on this machine."""
    name = model.base_model
    if name.startswith("/"):
        is_there = await asyncio.to_thread(Path(name, "config.json").is_file)
    else:
        statuses = (await session.exec(select(Download.status).where(col(Download.repo_id) == name))).all()
        made_here = await asyncio.to_thread(folder.read_ref, name, "main")
        is_there = DownloadStatus.READY in statuses or made_here is not None
        if not is_there and {DownloadStatus.QUEUED, DownloadStatus.RUNNING} & set(statuses):
            raise WrongStateError(
                f"The base model {name} is still being downloaded; try again when it is ready.", field="model_id"
            )
    if not is_there:
        message = f"The base model {name} is not on this machine: download it first, with POST /api/v1/models/download."
        raise WrongStateError(message, field="model_id")


async def find_dataset(session: AsyncSession, dataset_id: UUID) -> Dataset:
    """Raises NotFoundError."""
    dataset = await session.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFoundError(f"There is no dataset with the id {dataset_id}.", field="dataset_id")
    return dataset


async def _free_name(session: AsyncSession, model: RegisteredModel, dataset: Dataset) -> str:
    """From both names, with a number when that belongs to something else. The same pair gets the same name again."""
    plain = f"{model.name.rpartition('/')[2]}-{dataset.name.replace('/', '-')}"[: _MAX_NAME_CHARACTERS - 5].strip()
    for number in range(1, _MAX_SUFFIX):
        name = plain if number == 1 else f"{plain}-{number}"
        if not await _other_owner(session, name, model):
            return name
    raise ConflictError("No name is free for the adapter; choose an adapter_name.", field="adapter_name")


async def _other_owner(session: AsyncSession, name: str, base: RegisteredModel) -> str | None:
    """What has the name that is not an adapter of `base`, or will have it; None when it can be used."""
    model = (await session.exec(select(RegisteredModel).where(col(RegisteredModel.name) == name))).one_or_none()
    if model is not None:
        is_adapter = model.kind == ModelKind.ADAPTER
        return None if is_adapter_of(model, base) else f"an adapter of {model.base_model!r}" if is_adapter else "a base model"
    of_other = (col(TrainingJob.adapter_name) == name, col(TrainingJob.model_id) != base.id)
    active = col(TrainingJob.status).not_in(ENDED)
    job_id = (await session.exec(select(TrainingJob.id).where(*of_other, active))).first()
    return f"the job {job_id} on another model" if job_id else None
