"""What goes with a registered model, what stays without it, and what needs it now."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.job import ENDED, Download, DownloadStatus, JobStatus, Task, TrainingJob
from mlx_hub.models.registered_model import ModelAlias, ModelVersion, RegisteredModel
from mlx_hub.services import model_cache
from mlx_hub.services.aliases import served_name
from mlx_hub.services.dataset_dependents import DependentJob

_MOVING = (DownloadStatus.QUEUED, DownloadStatus.RUNNING, DownloadStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class DependentModel:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class ModelDependents:
    """`num_bytes` are freed, `served_names` no longer answered and `jobs` left without their model when it is deleted.

    `adapters` stand on it; `blockers` say why it cannot be deleted now.
    """

    num_bytes: int
    num_versions: int
    adapters: list[DependentModel]
    jobs: list[DependentJob]
    served_names: list[str]
    blockers: list[str]


async def find_dependents(session: AsyncSession, model: RegisteredModel, *, data_dir: Path) -> ModelDependents:
    """Jobs are those on the model as base, and those that made its versions; the newest first."""
    versions = select(ModelVersion.id).where(col(ModelVersion.model_id) == model.id)
    places = select(ModelVersion.path, ModelVersion.num_bytes).where(col(ModelVersion.model_id) == model.id)
    found = (await session.exec(places)).all()
    # What lies elsewhere belongs to somebody else and stays.
    version_bytes = sum(num_bytes or 0 for path, num_bytes in found if Path(path).is_relative_to(data_dir))
    is_of_model = or_(col(TrainingJob.model_id) == model.id, col(TrainingJob.model_version_id).in_(versions))
    jobs = await session.exec(select(TrainingJob).where(is_of_model).order_by(col(TrainingJob.created_at).desc()))
    aliases = (await session.exec(select(ModelAlias.alias).where(col(ModelAlias.model_id) == model.id))).all()
    return ModelDependents(
        num_bytes=version_bytes + await _weight_bytes(session, model),
        num_versions=len(found),
        adapters=[DependentModel(*adapter) for adapter in (await session.exec(_standing_on(model))).all()],
        jobs=[DependentJob(job.id, job.name, JobStatus(job.status)) for job in jobs.all()],
        served_names=sorted(served_name(model, alias) for alias in aliases),
        blockers=await blockers_of(session, model),
    )


async def blockers_of(session: AsyncSession, model: RegisteredModel) -> list[str]:
    """Everything that would break without the model, in words."""
    jobs = select(TrainingJob.id).where(col(TrainingJob.model_id) == model.id, col(TrainingJob.status).not_in(ENDED))
    versions = select(ModelVersion.id).where(col(ModelVersion.model_id) == model.id)
    of_model = or_(col(Task.subject_id) == model.id, col(Task.subject_id).in_(versions))
    tasks = select(Task.kind, Task.id).where(of_model, col(Task.status).not_in(ENDED))
    downloads = select(Download.id).where(col(Download.model_id) == model.id, col(Download.status).in_(_MOVING))
    return [
        *(f"the model {name!r} that stands on it" for _, name in (await session.exec(_standing_on(model))).all()),
        *(f"the training job {job_id}" for job_id in (await session.exec(jobs)).all()),
        *(f"the {kind} task {task_id}" for kind, task_id in (await session.exec(tasks)).all()),
        *(f"the download {download_id}; cancel it first" for download_id in (await session.exec(downloads)).all()),
    ]


def _standing_on(model: RegisteredModel) -> Any:
    stands_on_it = or_(col(RegisteredModel.base_model_id) == model.id, col(RegisteredModel.base_model) == model.name)
    return select(RegisteredModel.id, RegisteredModel.name).where(stands_on_it, col(RegisteredModel.id) != model.id)


async def owned_weights(session: AsyncSession, model: RegisteredModel) -> set[str]:
    """Names of the weights in the model cache that were fetched or made for this model, and that no other model has."""
    mine = await session.exec(select(Download.repo_id).where(col(Download.model_id) == model.id).distinct())
    names = set(mine.all()) | ({model.base_model} if model.base_model.startswith(model_cache.LOCAL_PREFIX) else set())
    others = await session.exec(select(RegisteredModel.base_model).where(col(RegisteredModel.id) != model.id))
    return names - set(others.all())


async def _weight_bytes(session: AsyncSession, model: RegisteredModel) -> int:
    """Of what was downloaded; several revisions that are one commit lie on the disk once."""
    wanted = (col(Download.repo_id).in_(await owned_weights(session, model)), col(Download.status) == DownloadStatus.READY)
    rows = await session.exec(select(Download.repo_id, Download.commit, Download.num_bytes_total).where(*wanted))
    return sum({(repo_id, commit): num_bytes for repo_id, commit, num_bytes in rows.all()}.values())
