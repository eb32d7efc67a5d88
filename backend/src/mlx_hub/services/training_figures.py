"""What the trainers do at one moment, and when jobs began and ended, read from the database once a second."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy import or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import Sessions, is_away
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import ENDED, JobStatus, Metric, TrainingJob

EventKind = Literal["job_started", "job_completed", "job_failed", "job_cancelled"]

_QUERY_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_MAX_AGE_SECONDS = 5.0
_ENDS: dict[str, EventKind] = {
    JobStatus.COMPLETED: "job_completed",
    JobStatus.FAILED: "job_failed",
    JobStatus.CANCELLED: "job_cancelled",
}
_SHOWN = ("train_loss", "tokens_per_second", "peak_memory_bytes")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingReading:
    """Of several running jobs the figures are those of the one that began last; None without one."""

    running_jobs: int
    queued_jobs: int
    job_id: str | None
    tokens_per_second: float | None
    train_loss: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """Something to be marked on the time axis; `at` is in seconds since the epoch."""

    at: float
    kind: EventKind
    subject: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A moment of a job, told once."""

    job_id: UUID
    attempt: int
    kind: EventKind


class TrainingFigures:
    """Used on the event loop only. While the database does not answer the reading is unknown."""

    def __init__(self, readers: Sessions, *, history: timedelta) -> None:
        self._readers = readers
        self._history = history
        self._newest: tuple[float, TrainingReading] | None = None
        self._seen: set[_Seen] | None = None
        self._new_events: list[SystemEvent] = []
        self.has_failed = False
        """Whether the database did not answer the last time."""

    @property
    def reading(self) -> TrainingReading | None:
        """The newest one, unless it has become old."""
        newest = self._newest
        return newest[1] if newest is not None and time.monotonic() - newest[0] < _MAX_AGE_SECONDS else None

    def take_events(self) -> list[SystemEvent]:
        """What was not taken before. The first ones are of the time before this process began to look."""
        taken, self._new_events = self._new_events, []
        return taken

    async def follow(self) -> None:
        """Reads until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(_QUERY_SECONDS), self._readers.begin() as session:
                    await self._read(session)
                self.has_failed = False
            except Exception as error:
                # Whatever it is, figures are not worth a process.
                if not self.has_failed:
                    log.warning("training_figures_failed", reason=type(error).__name__, exc_info=not is_away(error))
                self.has_failed = True
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, session: AsyncSession) -> None:
        is_recent = col(TrainingJob.completed_at) > utc_now() - self._history
        jobs = (await session.exec(select(TrainingJob).where(or_(col(TrainingJob.status).not_in(ENDED), is_recent)))).all()
        self._note_events(jobs)
        running = [job for job in jobs if job.status == JobStatus.RUNNING]
        newest = max(running, key=lambda job: job.started_at or job.created_at, default=None)
        numbers = await _newest_numbers(session, newest.id) if newest is not None else {}
        peak = numbers.get("peak_memory_bytes")
        reading = TrainingReading(
            running_jobs=len(running),
            queued_jobs=sum(job.status == JobStatus.QUEUED for job in jobs),
            job_id=str(newest.id) if newest else None,
            tokens_per_second=numbers.get("tokens_per_second") if newest and newest.phase == "training" else None,
            train_loss=numbers.get("train_loss"),
            peak_memory_bytes=None if peak is None else int(peak),
        )
        self._newest = (time.monotonic(), reading)

    def _note_events(self, jobs: Sequence[TrainingJob]) -> None:
        is_first, known = self._seen is None, self._seen or set()
        moments = {moment: at for job in jobs for moment, at in _moments(job)}
        names = {job.id: job.name for job in jobs}
        for moment in moments.keys() - known:
            at = moments[moment].timestamp() if is_first else time.time()
            self._new_events.append(SystemEvent(at, moment.kind, str(moment.job_id), names[moment.job_id]))
        self._new_events.sort(key=lambda event: event.at)
        self._seen = set(moments)


def _moments(job: TrainingJob) -> list[tuple[_Seen, datetime]]:
    found: list[tuple[_Seen, datetime]] = []
    if job.started_at is not None and job.status != JobStatus.QUEUED:
        found.append((_Seen(job.id, job.attempt, "job_started"), job.started_at))
    if job.completed_at is not None and (kind := _ENDS.get(job.status)):
        found.append((_Seen(job.id, job.attempt, kind), job.completed_at))
    return found


async def _newest_numbers(session: AsyncSession, job_id: UUID) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in _SHOWN:
        of_job = (col(Metric.job_id) == job_id, col(Metric.name) == name)
        value = (await session.exec(select(Metric.value).where(*of_job).order_by(col(Metric.step).desc()).limit(1))).first()
        if value is not None:
            found[name] = value
    return found
