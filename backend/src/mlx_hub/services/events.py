"""What happened, stored in the order in which it is streamed to dashboards."""

from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.job import Event

_LOCK_KEY = 0x6D6C785F657674


class EventKind(StrEnum):
    """`system` is read from the machine while somebody listens, and never stored."""

    JOB = "job"
    METRICS = "metrics"
    DOWNLOAD = "download"
    TASK = "task"
    DATASET = "dataset"
    MODEL = "model"
    SYSTEM = "system"


async def publish(session: AsyncSession, kind: str, subject_id: object, payload: dict[str, Any]) -> None:
    """Add an event to the transaction; it is seen when that commits. Call it last, as writers wait for each other here.

    `kind` is job, metrics, download, task, dataset or model; `payload` is JSON.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Ids are given in the order of inserts; without the lock commits could be in another, and readers would miss one.
        await session.connection()
        await session.exec(text("SELECT pg_advisory_xact_lock(:key)"), params={"key": _LOCK_KEY})  # pyright: ignore[reportCallIssue, reportArgumentType]
    session.add(Event(kind=kind, subject_id=str(subject_id), payload=payload))
    await session.flush()
