"""Deletes a registered model with its versions and files, unless something needs it."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.config import Settings
from mlx_hub.db import Sessions
from mlx_hub.models.registered_model import ModelAlias, ModelVersion, RegisteredModel
from mlx_hub.services import model_cache
from mlx_hub.services.aliases import served_name
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.dataset_dependents import check_unblocked
from mlx_hub.services.model_dependents import blockers_of, owned_weights
from mlx_hub.services.promotions import Promotions
from mlx_hub.services.registry import get_row

log = structlog.get_logger(__name__)


async def remove_model(sessions: Sessions, settings: Settings, promotions: Promotions, model_id: UUID) -> None:
    """Rows go in one transaction, then the files, then what the inference server serves of it.

    Raises NotFoundError, and InUseError that says what needs the model or that a process reads its weights.
    """
    async with sessions.begin() as session:
        model = await get_row(session, model_id, is_locked=True)
        check_unblocked(model.name, await blockers_of(session, model))
        folders = await _version_folders(session, model)
        trash = await _discard_downloads(session, CacheFolder(settings.model_cache_dir), model)
        aliases = (await session.exec(select(ModelAlias.alias).where(col(ModelAlias.model_id) == model_id))).all()
        names = [served_name(model, alias) for alias in aliases]
        await session.delete(model)
    log.info("model_removed", model_id=str(model_id), num_folders=len(folders))
    await promotions.withdraw(names)
    await asyncio.to_thread(_remove_own, folders, settings.data_dir)
    await model_cache.delete_folders(trash)


async def _version_folders(session: AsyncSession, model: RegisteredModel) -> list[Path]:
    paths = (await session.exec(select(ModelVersion.path).where(col(ModelVersion.model_id) == model.id))).all()
    return [Path(path) for path in paths]


async def _discard_downloads(session: AsyncSession, folder: CacheFolder, model: RegisteredModel) -> list[Path]:
    """Take what was downloaded or made for it out of the cache, unless another model has the same weights."""
    return await model_cache.remove_models(session, folder, await owned_weights(session, model))


def _remove_own(folders: list[Path], data_dir: Path) -> None:
    """Only what lies in this service's folder: an adapter elsewhere belongs to somebody else."""
    root = data_dir.resolve()
    for folder in folders:
        real = folder.resolve()
        if real != root and real.is_relative_to(root):
            shutil.rmtree(real, onerror=_log_left_over)


def _log_left_over(_function: object, path: str, error: object) -> None:
    log.warning("file_not_removed", path=path, reason=str(error))
