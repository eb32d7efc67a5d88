"""The rows of training jobs: created, listed, cancelled, queued again, deleted. The work itself is in `training_run`.

A status changes only by one UPDATE that names the statuses it may come from; what queues a job again makes it another attempt.
A running job is asked to end by a flag. Each change is an event.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.run_files import LOG_FILE
from mlx_hub.db import Sessions
from mlx_hub.errors import InvalidInputError, WrongStateError
from mlx_hub.models.base import Page, PageRequest, utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import ENDED, TRANSITIONS, JobStatus, Metric, TrainingJob, origin
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services import outbox
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.detached_process import read_log_tail
from mlx_hub.services.job_claim import get_job
from mlx_hub.services.run_folder import remove_run, run_folder
from mlx_hub.services.training_events import TrainingJobDetails, TrainingJobPublic, describe_job, describe_jobs, publish_job
from mlx_hub.services.training_request import NewJob, parse_settings, settings_of, settle_job

_FAILED_OR_CANCELLED = (JobStatus.FAILED, JobStatus.CANCELLED)
_RACE_TRIES = 3


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of the list; what is empty or None lets all pass."""

    statuses: Collection[JobStatus] = ()
    model_id: UUID | None = None
    dataset_id: UUID | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.statuses:
            found.append(col(TrainingJob.status).in_(list(self.statuses)))
        if self.model_id is not None:
            found.append(col(TrainingJob.model_id) == self.model_id)
        if self.dataset_id is not None:
            found.append(col(TrainingJob.dataset_id) == self.dataset_id)
        return found


async def create_job(session: AsyncSession, folder: CacheFolder, wanted: NewJob, *, store_id: str) -> TrainingJobDetails:
    """A queued job, for the workers of the store. Raises what `settle_job` raises."""
    checked = await settle_job(session, folder, wanted)
    job = TrainingJob(
        name=wanted.name or checked.adapter_name,
        store_id=store_id,
        adapter_name=checked.adapter_name,
        promotion=wanted.promotion,
        model_id=checked.model.id,
        dataset_id=checked.dataset.id,
        config=settings_of(checked.config),
        num_steps=checked.config.steps or 0,
    )
    session.add(job)
    await publish_job(session, job)
    return await describe_job(session, job)


async def read_job(session: AsyncSession, job_id: UUID) -> TrainingJobDetails:
    """Raises NotFoundError."""
    return await describe_job(session, await get_job(session, job_id))


async def list_jobs(session: AsyncSession, wanted: JobFilter, page: PageRequest) -> Page[TrainingJobPublic]:
    """The newest first."""
    conditions = wanted.conditions()
    total = (await session.exec(select(func.count()).select_from(TrainingJob).where(*conditions))).one()
    order = (col(TrainingJob.created_at).desc(), col(TrainingJob.id))
    rows = await session.exec(select(TrainingJob).where(*conditions).order_by(*order).offset(page.offset).limit(page.size))
    return Page(items=await describe_jobs(session, rows.all()), total=total, page=page.number, page_size=page.size)


async def cancel_job(session: AsyncSession, job_id: UUID) -> TrainingJobDetails:
    """A queued job ends at once, a running one soon: it saves what it has. Raises NotFoundError, WrongStateError."""
    await get_job(session, job_id)
    # A worker may take it, or give it back, between the two questions.
    for _ in range(_RACE_TRIES):
        ended = {"status": JobStatus.CANCELLED, "completed_at": utc_now()}
        if await _change(session, job_id, JobStatus.QUEUED, values=ended):
            job = await get_job(session, job_id)
            if job.attempt:
                outbox.end_run(session, job_id, JobStatus.CANCELLED)
            break
        if await _change(session, job_id, JobStatus.RUNNING, values={"is_cancel_requested": True}):
            break
    else:
        await _refuse(session, job_id, "cancelled")
    return await _told(session, job_id)


async def resume_job(session: AsyncSession, job_id: UUID) -> TrainingJobDetails:
    """Queue a failed or cancelled job again; it goes on from its newest checkpoint. Raises NotFoundError, WrongStateError."""
    await _check_inputs(session, await get_job(session, job_id))
    if not await _requeue(session, job_id, *_FAILED_OR_CANCELLED):
        await _refuse(session, job_id, "resumed")
    return await _told(session, job_id)


async def retry_job(session: AsyncSession, job_id: UUID) -> TrainingJobDetails:
    """Queue an ended job again, to begin at step 0. Raises NotFoundError, WrongStateError."""
    await _check_inputs(session, await get_job(session, job_id))
    # A job without a report of its checks begins anew, as a new one does.
    fresh: dict[str, Any] = {"step": 0, "preflight": {}, "started_at": None}
    if not await _requeue(session, job_id, *ENDED, values=fresh):
        await _refuse(session, job_id, "started again")
    await session.exec(delete(Metric).where(col(Metric.job_id) == job_id))
    return await _told(session, job_id)


async def extend_job(
    session: AsyncSession, job_id: UUID, *, steps: int | None = None, epochs: int | None = None
) -> TrainingJobDetails:
    """Queue a completed job again, to go on to `steps` steps or `epochs` epochs in all; its result is another version.

    Raises NotFoundError, WrongStateError, and InvalidInputError for an end that it has passed already.
    """
    job = await get_job(session, job_id)
    await _check_inputs(session, job)
    length = {"steps": steps} if steps is not None else {"steps": None, "epochs": epochs}
    config = settings_of(parse_settings({**job.config, **length}))
    num_steps = steps or int(epochs or 0) * int(job.preflight.get("steps_per_epoch", 0))
    if job.status == JobStatus.COMPLETED and num_steps <= job.num_steps:
        message = f"The run has {job.num_steps} steps already; extend it to more, in all."
        raise InvalidInputError(message, field="steps" if steps is not None else "epochs")
    if not await _requeue(session, job_id, JobStatus.COMPLETED, values={"config": config, "num_steps": num_steps}):
        await _refuse(session, job_id, "extended")
    return await _told(session, job_id)


async def delete_job(sessions: Sessions, data_dir: Path, job_id: UUID) -> None:
    """Remove an ended job with its run's folder; the versions that it made stay. Raises NotFoundError, WrongStateError."""
    async with sessions.begin() as session:
        await get_job(session, job_id)
        has_ended = col(TrainingJob.status).in_(list(ENDED))
        result = await session.exec(delete(TrainingJob).where(col(TrainingJob.id) == job_id, has_ended))
        if not result.rowcount:
            await _refuse(session, job_id, "deleted; cancel it first")
    await asyncio.to_thread(remove_run, data_dir, job_id)


async def read_log(session: AsyncSession, data_dir: Path, job_id: UUID, *, num_lines: int) -> list[str]:
    """The last lines of the trainer's log, or what the row has of one that failed on another machine. Raises NotFoundError."""
    job = await get_job(session, job_id)
    lines = await asyncio.to_thread(read_log_tail, run_folder(data_dir, job_id) / LOG_FILE, num_lines)
    return lines or job.log_tail.splitlines()[-num_lines:]


async def _requeue(session: AsyncSession, job_id: UUID, *statuses: JobStatus, values: dict[str, Any] | None = None) -> bool:
    """Another attempt, with nothing left of how the last one ended."""
    cleared: dict[str, Any] = {
        "is_cancel_requested": False,
        "machine_id": None,
        "error_code": None,
        "error_message": None,
        "exit_signal": None,
        "log_tail": "",
        "completed_at": None,
        "heartbeat_at": None,
    }
    queued = {"status": JobStatus.QUEUED, "phase": "queued", "attempt": col(TrainingJob.attempt) + 1}
    return await _change(session, job_id, *statuses, values=cleared | queued | origin() | (values or {}))


async def _change(session: AsyncSession, job_id: UUID, *statuses: JobStatus, values: dict[str, Any]) -> bool:
    """Set `values` if the status is one of `statuses`. Whether it was."""
    target = values.get("status")
    assert all(target is None or target in TRANSITIONS[status] for status in statuses)
    is_at = (col(TrainingJob.id) == job_id, col(TrainingJob.status).in_(statuses))
    result = await session.exec(update(TrainingJob).where(*is_at).values(**values).execution_options(synchronize_session=False))
    return bool(result.rowcount)


async def _refuse(session: AsyncSession, job_id: UUID, verb: str) -> None:
    job = await get_job(session, job_id)
    raise WrongStateError(f"A job that is {job.status} cannot be {verb}.")


async def _check_inputs(session: AsyncSession, job: TrainingJob) -> None:
    """Raises WrongStateError when what the job was to train has been deleted."""
    for name, table, row_id in (("model", RegisteredModel, job.model_id), ("dataset", Dataset, job.dataset_id)):
        if row_id is None or await session.get(table, row_id) is None:
            raise WrongStateError(f"The job's {name} was deleted; start a new job with another.")


async def _told(session: AsyncSession, job_id: UUID) -> TrainingJobDetails:
    """The job after a change, of which dashboards hear too."""
    job = await get_job(session, job_id)
    await publish_job(session, job)
    return await describe_job(session, job)
