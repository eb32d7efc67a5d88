"""What was made with a dataset and what needs it now, so that people know before they delete or change it."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import InUseError
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import ENDED, JobStatus, Task, TrainingJob
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel

CANCEL_OR_WAIT = "; cancel that or wait for its end"
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class DependentJob:
    id: UUID
    name: str
    status: JobStatus


@dataclass(frozen=True, slots=True)
class DependentVersion:
    model_id: UUID
    model_name: str
    version: int


@dataclass(frozen=True, slots=True)
class DatasetDependents:
    """`jobs` and `versions` stay when the dataset goes, and then no longer know it; `blockers` say why it cannot go."""

    num_bytes: int
    jobs: list[DependentJob]
    versions: list[DependentVersion]
    blockers: list[str]


async def find_dependents(session: AsyncSession, row: Dataset) -> DatasetDependents:
    """The newest first."""
    order = col(TrainingJob.created_at).desc()
    jobs = (await session.exec(select(TrainingJob).where(col(TrainingJob.dataset_id) == row.id).order_by(order))).all()
    is_of = col(RegisteredModel.id) == col(ModelVersion.model_id)
    versions = (
        select(ModelVersion.model_id, RegisteredModel.name, ModelVersion.version)
        .join(RegisteredModel, is_of)
        .where(col(ModelVersion.dataset_id) == row.id)
        .order_by(col(ModelVersion.created_at).desc())
    )
    return DatasetDependents(
        num_bytes=row.num_bytes,
        jobs=[DependentJob(job.id, job.name, JobStatus(job.status)) for job in jobs],
        versions=[DependentVersion(*found) for found in (await session.exec(versions)).all()],
        blockers=await _users(session, row),
    )


async def check_unused(session: AsyncSession, row: Dataset) -> None:
    """Raises InUseError while queued or running work needs the dataset."""
    check_unblocked(row.name, await _users(session, row), advice=CANCEL_OR_WAIT)


def check_unblocked(name: str, blockers: list[str], *, advice: str = "") -> None:
    """Raises InUseError that names the first of them."""
    if blockers:
        more = f" and {len(blockers) - _MAX_NAMED} more" if len(blockers) > _MAX_NAMED else ""
        raise InUseError(f"{name!r} is needed by {', '.join(blockers[:_MAX_NAMED])}{more}{advice}.")


async def _users(session: AsyncSession, row: Dataset) -> list[str]:
    jobs = select(TrainingJob.name).where(col(TrainingJob.dataset_id) == row.id, col(TrainingJob.status).not_in(ENDED))
    users = [f"job {name!r}" for name in (await session.exec(jobs.order_by(col(TrainingJob.created_at)))).all()]
    tasks = (await session.exec(select(Task).where(col(Task.status).not_in(ENDED)))).all()
    return users + [f"{task.kind} task {task.id}" for task in tasks if task.arguments.get("dataset_id") == str(row.id)]
