"""What people see of training jobs: the row with its place in the queue, its newest numbers, and the time that remains."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import JobStatus, Metric, PromotionRule, TrainingJob
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.events import publish

_SHOWN = ("train_loss", "val_loss", "tokens_per_second")
_TIMED_STEPS = 20
"""The newest steps, whose pace tells the time that remains."""


class TrainingJobPublic(BaseModel):
    """A training job."""

    id: UUID
    name: str
    model_id: UUID | None
    model_name: str | None
    dataset_id: UUID | None
    dataset_name: str | None
    adapter_name: str = Field(description="The registered model that the result becomes a version of.")
    promotion: PromotionRule
    model_version_id: UUID | None = Field(description="The result of the newest run that was completed.")
    adapter_id: UUID | None = Field(description="The registered model of `model_version_id`.")
    adapter_version: int | None
    status: JobStatus
    phase: str = Field(
        description="queued, preparing, training, evaluating, registering or completed; where one ended that failed."
    )
    config: dict[str, Any]
    step: int
    num_steps: int = Field(description="0 until the rows have been counted.")
    progress: float = Field(description="Share of the steps that is done, 0 to 1.")
    attempt: int = Field(description="How often the job was queued again.")
    is_cancel_requested: bool
    machine_id: str | None
    queue_position: int | None = Field(description="1 is the next of the queued jobs; null for others.")
    remaining_seconds: float | None = Field(description="Until the last step at the present pace; null when there is none.")
    train_loss: float | None
    val_loss: float | None
    tokens_per_second: float | None
    error_code: str | None
    error_message: str | None
    exit_signal: int | None = Field(description="What killed the trainer, such as 9.")
    mlflow_run_id: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    heartbeat_at: datetime | None


class TrainingJobDetails(TrainingJobPublic):
    """A training job with all that is known of it."""

    preflight: dict[str, Any] = Field(description="The report before the start: rows, lengths, warnings, memory.")
    log_tail: list[str] = Field(description="The last lines of a trainer that failed.")


async def describe_jobs(session: AsyncSession, jobs: Sequence[TrainingJob]) -> list[TrainingJobPublic]:
    """In the order of `jobs`."""
    models = await _names(session, RegisteredModel, {job.model_id for job in jobs})
    datasets = await _names(session, Dataset, {job.dataset_id for job in jobs})
    versions = await _versions(session, {job.model_version_id for job in jobs})
    newest = await _newest_metrics(session, [job.id for job in jobs])
    found: list[TrainingJobPublic] = []
    for job in jobs:
        adapter_id, version = versions.get(job.model_version_id, (None, None))
        values = {
            **job.model_dump(include=set(TrainingJobPublic.model_fields)),
            **{name: newest.get((job.id, name)) for name in _SHOWN},
            "model_name": models.get(job.model_id),
            "dataset_name": datasets.get(job.dataset_id),
            "adapter_id": adapter_id,
            "adapter_version": version,
            "progress": _progress(job),
            "queue_position": await _queue_position(session, job),
            "remaining_seconds": await _remaining_seconds(session, job),
        }
        found.append(TrainingJobPublic.model_validate(values))
    return found


async def describe_job(session: AsyncSession, job: TrainingJob) -> TrainingJobDetails:
    (public,) = await describe_jobs(session, [job])
    return TrainingJobDetails(**public.model_dump(), preflight=job.preflight, log_tail=job.log_tail.splitlines())


async def publish_job(session: AsyncSession, job: TrainingJob) -> None:
    """Tell dashboards how the job stands now. Call it last in the transaction, as `publish` says."""
    await session.flush()
    (public,) = await describe_jobs(session, [job])
    await publish(session, "job", job.id, public.model_dump(mode="json"))


async def _names(session: AsyncSession, table: Any, ids: set[UUID | None]) -> dict[UUID | None, str]:
    rows = await session.exec(select(table.id, table.name).where(table.id.in_(ids - {None})))
    return dict(rows.all())


async def _versions(session: AsyncSession, ids: set[UUID | None]) -> dict[UUID | None, tuple[UUID, int]]:
    wanted = col(ModelVersion.id).in_(ids - {None})
    rows = await session.exec(select(ModelVersion.id, ModelVersion.model_id, ModelVersion.version).where(wanted))
    return {version_id: (model_id, version) for version_id, model_id, version in rows.all()}


async def _newest_metrics(session: AsyncSession, job_ids: list[UUID]) -> dict[tuple[UUID, str], float]:
    shown = (col(Metric.job_id).in_(job_ids), col(Metric.name).in_(_SHOWN))
    last = (
        select(col(Metric.job_id).label("job_id"), col(Metric.name).label("name"), func.max(col(Metric.step)).label("step"))
        .where(*shown)
        .group_by(col(Metric.job_id), col(Metric.name))
        .subquery()
    )
    is_last = (col(Metric.job_id) == last.c.job_id) & (col(Metric.name) == last.c.name) & (col(Metric.step) == last.c.step)
    rows = await session.exec(select(Metric.job_id, Metric.name, Metric.value).join(last, is_last))
    return {(job_id, name): value for job_id, name, value in rows.all()}


async def _queue_position(session: AsyncSession, job: TrainingJob) -> int | None:
    if job.status != JobStatus.QUEUED:
        return None
    queued = (col(TrainingJob.status) == JobStatus.QUEUED, col(TrainingJob.store_id) == job.store_id)
    earlier = col(TrainingJob.created_at) < job.created_at
    return (await session.exec(select(func.count()).select_from(TrainingJob).where(*queued, earlier))).one() + 1


async def _remaining_seconds(session: AsyncSession, job: TrainingJob) -> float | None:
    if job.status != JobStatus.RUNNING or not job.num_steps:
        return None
    statement = (
        select(Metric.step, Metric.recorded_at)
        .where(col(Metric.job_id) == job.id, col(Metric.name) == "train_loss")
        .order_by(col(Metric.step).desc())
        .limit(_TIMED_STEPS)
    )
    newest = (await session.exec(statement)).all()
    if len(newest) < 2:
        return None
    (last_step, last_at), (first_step, first_at) = newest[0], newest[-1]
    pace = (last_at - first_at).total_seconds() / (last_step - first_step)
    return max(0.0, pace * (job.num_steps - job.step))


def _progress(job: TrainingJob) -> float:
    if job.status == JobStatus.COMPLETED:
        return 1.0
    return min(1.0, job.step / job.num_steps) if job.num_steps else 0.0
