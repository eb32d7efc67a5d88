"""Versions of a registered model: added by training and import, never changed."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import NotFoundError
from mlx_hub.models.base import Page, PageRequest
from mlx_hub.models.job import TrainingJob
from mlx_hub.models.registered_model import ModelAlias, ModelVersion, ModelVersionPublic
from mlx_hub.services.registry import get_row


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version came from, and how well it does."""

    base_commit: str | None = None
    dataset_id: UUID | None = None
    dataset_sha256: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    code_version: str | None = None
    mlflow_run_id: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)


async def add_version(session: AsyncSession, model_id: UUID, path: str, lineage: Lineage) -> ModelVersion:
    """The model's next version, whose files are in the folder `path`. Raises NotFoundError."""
    # The lock on the model makes versions that are added at the same time wait for each other.
    await get_row(session, model_id, is_locked=True)
    latest = (await session.exec(select(func.max(ModelVersion.version)).where(col(ModelVersion.model_id) == model_id))).one()
    row = ModelVersion(
        model_id=model_id,
        version=(latest or 0) + 1,
        path=path,
        base_commit=lineage.base_commit,
        dataset_id=lineage.dataset_id,
        dataset_sha256=lineage.dataset_sha256,
        config=lineage.config,
        seed=lineage.seed,
        code_version=lineage.code_version,
        mlflow_run_id=lineage.mlflow_run_id,
        metrics=lineage.metrics,
        samples=lineage.samples,
    )
    session.add(row)
    await session.flush()
    return row


async def get_version_row(session: AsyncSession, model_id: UUID, version: int) -> ModelVersion:
    """Raises NotFoundError."""
    statement = select(ModelVersion).where(col(ModelVersion.model_id) == model_id, col(ModelVersion.version) == version)
    row = (await session.exec(statement)).one_or_none()
    if row is None:
        raise NotFoundError(f"The model {model_id} has no version {version}.", field="version")
    return row


async def get_version(session: AsyncSession, model_id: UUID, version: int) -> ModelVersionPublic:
    """Raises NotFoundError."""
    row = await get_version_row(session, model_id, version)
    return _public(row, await _aliases(session, model_id), await _jobs(session, [row.id]))


async def list_versions(session: AsyncSession, model_id: UUID, page: PageRequest) -> Page[ModelVersionPublic]:
    """The newest first. Raises NotFoundError for an unknown model."""
    await get_row(session, model_id)
    of_model = col(ModelVersion.model_id) == model_id
    total = (await session.exec(select(func.count()).select_from(ModelVersion).where(of_model))).one()
    order = col(ModelVersion.version).desc()
    rows = (await session.exec(select(ModelVersion).where(of_model).order_by(order).offset(page.offset).limit(page.size))).all()
    aliases = await _aliases(session, model_id)
    jobs = await _jobs(session, [row.id for row in rows])
    return Page(items=[_public(row, aliases, jobs) for row in rows], total=total, page=page.number, page_size=page.size)


async def _aliases(session: AsyncSession, model_id: UUID) -> dict[UUID, list[str]]:
    """Of all versions of the model, by the version's id."""
    statement = select(ModelAlias.version_id, ModelAlias.alias).where(col(ModelAlias.model_id) == model_id)
    found: dict[UUID, list[str]] = {}
    for version_id, alias in (await session.exec(statement.order_by(col(ModelAlias.alias)))).all():
        found.setdefault(version_id, []).append(alias)
    return found


async def _jobs(session: AsyncSession, version_ids: list[UUID]) -> dict[UUID | None, UUID]:
    statement = select(TrainingJob.model_version_id, TrainingJob.id).where(col(TrainingJob.model_version_id).in_(version_ids))
    return dict((await session.exec(statement)).all())


def _public(row: ModelVersion, aliases: dict[UUID, list[str]], jobs: dict[UUID | None, UUID]) -> ModelVersionPublic:
    return ModelVersionPublic.model_validate({**row.model_dump(), "aliases": aliases.get(row.id, []), "job_id": jobs.get(row.id)})
