"""The rows that stand for durable work: downloads, training jobs and tasks, told apart by kind.

Whoever queues a row again makes it another attempt, in the same UPDATE. A worker that holds an older attempt leaves it alone.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, JobStatus, Task, TrainingJob
from mlx_hub.services import outbox, tasks
from mlx_hub.services.download_events import publish_download
from mlx_hub.services.task_events import publish_task
from mlx_hub.services.training_events import publish_job

WorkRow: TypeAlias = Download | TrainingJob | Task

TABLES: dict[str, type[WorkRow]] = {"download": Download, "training": TrainingJob, "task": Task}
ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
"""Downloads call these two statuses the same."""
MAX_LISTED = 200
"""Of each kind; the running ones are among them, as their status sorts last."""


@dataclass(frozen=True, slots=True)
class WorkKey:
    """One attempt at one row; its text is the workflow's id, so handing it over twice is handing it over once."""

    kind: str
    row_id: UUID
    attempt: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.row_id}:{self.attempt}"

    def earlier(self, count: int) -> list["WorkKey"]:
        """The attempts before this one, at most `count`."""
        return [WorkKey(self.kind, self.row_id, number) for number in range(max(0, self.attempt - count), self.attempt)]


def key_of(row: WorkRow) -> WorkKey:
    kind = next(kind for kind, table in TABLES.items() if isinstance(row, table))
    return WorkKey(kind, row.id, row.attempt)


def needs_accelerator(row: WorkRow) -> bool:
    """Training, and tasks that put a model into memory; one such at a time on a machine."""
    return tasks.needs_accelerator(row) if isinstance(row, Task) else isinstance(row, TrainingJob)


async def list_active(session: AsyncSession, store_id: str) -> list[WorkRow]:
    """Queued and running rows of this store, the oldest first; of very many queued ones the oldest."""
    rows: list[WorkRow] = []
    for table in TABLES.values():
        active = select(table).where(col(table.store_id) == store_id, col(table.status).in_(ACTIVE))
        rows += (await session.exec(active.order_by(col(table.status).desc(), col(table.created_at)).limit(MAX_LISTED))).all()
    return sorted(rows, key=lambda row: row.created_at)


async def is_active(session: AsyncSession, key: WorkKey) -> bool:
    """Whether the row still waits for this very attempt."""
    table = TABLES[key.kind]
    query = select(table.id).where(*_at(table, key))
    return (await session.exec(query)).first() is not None


async def requeue(session: AsyncSession, key: WorkKey) -> bool:
    """Give the row to whoever comes next, as another attempt. False when it is no longer at `key`."""
    values: dict[str, Any] = {"status": JobStatus.QUEUED, "attempt": key.attempt + 1, "machine_id": None}
    values |= {"bytes_per_second": 0} if key.kind == "download" else {"phase": "queued"}
    return await _change(session, key, values)


async def give_up(session: AsyncSession, key: WorkKey, message: str) -> bool:
    """Fail the row because work on it breaks again and again. False when it is no longer at `key`."""
    values: dict[str, Any] = {
        "status": JobStatus.FAILED,
        "error_code": "crash_loop",
        "error_message": message,
        "completed_at": utc_now(),
    }
    values |= {"bytes_per_second": 0} if key.kind == "download" else {"phase": "failed"}
    is_done = await _change(session, key, values)
    if is_done and key.kind == "training":
        outbox.end_run(session, key.row_id, JobStatus.FAILED)
    return is_done


async def _change(session: AsyncSession, key: WorkKey, values: dict[str, Any]) -> bool:
    table = TABLES[key.kind]
    result = await session.exec(update(table).where(*_at(table, key)).values(**values))
    if not result.rowcount:
        return False
    row = await session.get_one(table, key.row_id, populate_existing=True)
    if isinstance(row, Download):
        await publish_download(session, row)
    elif isinstance(row, TrainingJob):
        await publish_job(session, row)
    else:
        await publish_task(session, row)
    return True


def _at(table: type[WorkRow], key: WorkKey) -> tuple[Any, ...]:
    return (col(table.id) == key.row_id, col(table.attempt) == key.attempt, col(table.status).in_(ACTIVE))
