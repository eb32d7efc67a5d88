"""One task from the row to its output. Any worker of the store may run it, and run it again after another was killed."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.durable_files import is_disk_full
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.stopping import StopRequestedError
from mlx_hub.core.tool_files import read_progress
from mlx_hub.errors import HubError, StorageFullError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import JobStatus, Task
from mlx_hub.observability.tracing import mark_failed
from mlx_hub.services.task_events import publish_task
from mlx_hub.services.task_work import TaskCancelledError, TaskWork
from mlx_hub.services.tool_process import log_tail
from mlx_hub.services.worker_context import WorkerContext

REPORT_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
_MAX_MESSAGE = 10_000
_NEEDS_LOG = ("internal_error", "out_of_memory", "gpu_watchdog")

log = structlog.get_logger(__name__)


class _LostTaskError(Exception):
    """The attempt is no longer the task's: another worker has it, or it has ended."""


async def run_task(context: WorkerContext, task_id: UUID, attempt: int) -> None:
    """Bring this attempt at the task to its end. What went wrong is in the row, not raised.

    May be called for a row that it was running when the worker died: a tool process that still works is adopted.
    Cancelled (the worker stops), it leaves the row as running and the tool at work. Raises what the database raises.
    """
    run = _Run(context, task_id, attempt)
    task = await run.take()
    if task is not None:
        await run.run(task)


class _Run:
    """One attempt at one task, on the worker's event loop."""

    def __init__(self, context: WorkerContext, task_id: UUID, attempt: int) -> None:
        self._context = context
        self._id = task_id
        self._attempt = attempt
        self._stop = threading.Event()
        self._told: tuple[str, float] | None = None
        self._told_at = 0.0
        self._log = log.bind(task_id=str(task_id))

    async def take(self) -> Task | None:
        """The task, running from now on, or still; None when it is not for this attempt and worker."""
        values = {"status": JobStatus.RUNNING, "phase": "starting", "machine_id": self._context.machine_id}
        async with self._context.sessions.begin() as session:
            is_taken = await self._set(session, JobStatus.QUEUED, {**values, "started_at": utc_now(), "heartbeat_at": utc_now()})
            task = await session.get(Task, self._id, populate_existing=True)
            if task is not None and is_taken:
                await publish_task(session, task)
        if task is None or task.status != JobStatus.RUNNING:
            return None
        return task if (task.attempt, task.machine_id) == (self._attempt, self._context.machine_id) else None

    async def run(self, task: Task) -> None:
        """Do the work while its progress is written and the wish of the people read."""
        work = TaskWork(self._context, task, self._stop)
        doing = asyncio.create_task(work.run())
        try:
            while not doing.done():
                await self._report(work.job_dir)
                await asyncio.wait({doing}, timeout=REPORT_SECONDS)
            await self._end(work, doing)
        except _LostTaskError:
            self._log.info("task_lost", attempt=self._attempt)
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing})

    async def _report(self, job_dir: Path) -> None:
        """Write what has changed, and pass on that people want it to end."""
        found = await asyncio.to_thread(read_progress, job_dir)
        told = (found.phase, round(found.progress, 3)) if found else None
        is_news = told is not None and told != self._told
        values: dict[str, Any] = {"phase": told[0], "progress": told[1]} if told and is_news else {}
        if is_news or time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            task = await self._tell({**values, "heartbeat_at": utc_now()}, is_news=is_news)
            self._told, self._told_at = told, time.monotonic()
        else:
            async with self._context.readers.begin() as session:
                task = await session.get(Task, self._id)
        if task is None or task.attempt != self._attempt or task.status != JobStatus.RUNNING:
            raise _LostTaskError
        if task.is_cancel_requested:
            self._stop.set()

    async def _tell(self, values: dict[str, Any], *, is_news: bool) -> Task:
        async with self._context.sessions.begin() as session:
            await self._update(session, values)
            task = await session.get_one(Task, self._id, populate_existing=True)
            if is_news:
                await publish_task(session, task)
        return task

    async def _end(self, work: TaskWork, doing: "asyncio.Task[dict[str, Any]]") -> None:
        error = doing.exception()
        if error is None:
            await self._complete(work, doing.result())
        elif isinstance(error, TaskCancelledError | StopRequestedError):
            await self._settle(JobStatus.CANCELLED, {})
            await asyncio.to_thread(work.discard)
        elif isinstance(error, SQLAlchemyError):
            # Whoever called waits until the database is back and calls again.
            raise error
        else:
            await self._fail(work, error)

    async def _complete(self, work: TaskWork, result: dict[str, Any]) -> None:
        """The output counts from the moment that the row says so; rows of a new model come with it."""
        try:
            async with self._context.sessions.begin() as session:
                more = await work.register(session, result)
                await self._save(session, JobStatus.COMPLETED, {"progress": 1.0, "result": {**result, **more}})
        except HubError as error:
            await self._fail(work, error)
            return
        self._log.info("task_completed", num_bytes=result.get("num_bytes"))

    async def _fail(self, work: TaskWork, error: BaseException) -> None:
        if is_disk_full(error):
            error = StorageFullError("The disk is full: free some space, then ask again.")
        if isinstance(error, HubError | TrainingError):
            code, message = error.code, error.message
            if code in _NEEDS_LOG:
                message += await asyncio.to_thread(log_tail, work.job_dir)
            self._log.warning("task_failed", code=code, reason=error.message)
        else:
            self._log.error("task_broke", exc_info=error)
            code = HubError.code
            message = "The task broke because of a mistake in this program; see the worker's log."
        mark_failed(code)
        await self._settle(JobStatus.FAILED, {"error_code": code, "error_message": message[-_MAX_MESSAGE:]})
        await asyncio.to_thread(work.discard)

    async def _settle(self, status: JobStatus, values: dict[str, Any]) -> None:
        async with self._context.sessions.begin() as session:
            await self._save(session, status, values)
        self._log.info("task_ended", status=str(status))

    async def _save(self, session: AsyncSession, status: JobStatus, values: dict[str, Any]) -> None:
        ended = {"status": status, "phase": str(status), "completed_at": utc_now(), "heartbeat_at": utc_now()}
        await self._update(session, {**ended, **values})
        await publish_task(session, await session.get_one(Task, self._id, populate_existing=True))

    async def _update(self, session: AsyncSession, values: dict[str, Any]) -> None:
        if not await self._set(session, JobStatus.RUNNING, values):
            raise _LostTaskError

    async def _set(self, session: AsyncSession, status: JobStatus, values: dict[str, Any]) -> bool:
        mine = (col(Task.id) == self._id, col(Task.attempt) == self._attempt, col(Task.status) == status)
        result = await session.exec(update(Task).where(*mine).values(**values).execution_options(synchronize_session=False))
        return bool(result.rowcount)
