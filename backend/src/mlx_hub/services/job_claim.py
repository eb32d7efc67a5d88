"""A worker's hold on one attempt at a training job: each write names its attempt, and fails once the job has another."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import Sessions
from mlx_hub.errors import NotFoundError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import JobStatus, TrainingJob

PREPARING = "preparing"


class LostJobError(Exception):
    """The attempt is no longer the job's: another worker has it, or it has ended."""


class CancelRequestedError(Exception):
    """People want the job to end; it does so before anything else is made of it."""


@dataclass(frozen=True, slots=True)
class JobClaim:
    """Belongs to the attempt `attempt` at the job, in this worker."""

    sessions: Sessions
    job_id: UUID
    attempt: int
    machine_id: str

    async def take(self) -> TrainingJob | None:
        """The job, running from now on, or still when this worker has left it; None when it is not for this worker."""
        now = utc_now()
        first = func.coalesce(col(TrainingJob.started_at), now)
        values = {"status": JobStatus.RUNNING, "phase": PREPARING, "machine_id": self.machine_id, "heartbeat_at": now}
        async with self.sessions.begin() as session:
            await session.exec(
                update(TrainingJob)
                .where(*self._is_mine(JobStatus.QUEUED))
                .values(**values, started_at=first)
                .execution_options(synchronize_session=False)
            )
            job = await session.get(TrainingJob, self.job_id, populate_existing=True)
        if job is None or job.status != JobStatus.RUNNING:
            return None
        return job if (job.attempt, job.machine_id) == (self.attempt, self.machine_id) else None

    @asynccontextmanager
    async def transaction(self, **values: Any) -> AsyncGenerator[tuple[AsyncSession, TrainingJob]]:
        """One transaction that sets `values` and holds the job's row until its end. Raises LostJobError."""
        async with self.sessions.begin() as session:
            mine = self._is_mine(JobStatus.RUNNING)
            statement = update(TrainingJob).where(*mine).values(heartbeat_at=utc_now(), **values)
            result = await session.exec(statement.execution_options(synchronize_session=False))
            if not result.rowcount:
                raise LostJobError
            yield session, await session.get_one(TrainingJob, self.job_id, populate_existing=True)

    async def holder(self) -> TrainingJob | None:
        """The job as it is now, whoever has it."""
        async with self.sessions.begin() as session:
            return await session.get(TrainingJob, self.job_id, populate_existing=True)

    def _is_mine(self, status: JobStatus) -> tuple[Any, ...]:
        job = TrainingJob
        return col(job.id) == self.job_id, col(job.attempt) == self.attempt, col(job.status) == status


def refuse_cancelled(job: TrainingJob) -> None:
    """Raises CancelRequestedError, which undoes the transaction, when people have cancelled the job."""
    if job.is_cancel_requested:
        raise CancelRequestedError


async def get_job(session: AsyncSession, job_id: UUID) -> TrainingJob:
    """As it is now in the database. Raises NotFoundError."""
    job = await session.get(TrainingJob, job_id, populate_existing=True)
    if job is None:
        raise NotFoundError("There is no such training job.")
    return job
