"""Rows by state, and how the platform's parts keep up, for the metrics."""

import asyncio

import structlog
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.config import Settings
from mlx_hub.db import Sessions, metadata
from mlx_hub.models.base import utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Download, JobStatus, Task, TrainingJob
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.observability.metrics import PlatformCount, RowCount
from mlx_hub.services.system import list_machines, read_mlflow_state

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 3.0


async def count_rows(readers: Sessions) -> list[RowCount] | None:
    """Of the tables that people care about, by state. None when the database does not answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), readers.begin() as session:
            return [
                *await _count(session, "registered_model", col(RegisteredModel.kind)),
                *await _count(session, str(ModelVersion.__tablename__), None),
                *await _count(session, "dataset", col(Dataset.format)),
                *await _count(session, "training_job", col(TrainingJob.status)),
                *await _count(session, "download", col(Download.status)),
                *await _count(session, "task", col(Task.status)),
            ]
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("database_down", reason=type(error).__name__)
        return None


async def read_platform(readers: Sessions, settings: Settings) -> PlatformCount | None:
    """For the metrics. None when the database does not answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), readers.begin() as session:
            machines = await list_machines(session, lease_seconds=settings.lease_seconds)
            mlflow = await read_mlflow_state(session, settings)
            silence = await _longest_silence(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        return None
    num_alive = sum(machine.is_alive for machine in machines)
    return PlatformCount(num_alive, mlflow.num_pending_rows, mlflow.seconds_behind, silence)


async def _longest_silence(session: AsyncSession) -> float:
    """Seconds since the last sign of the running training job that was heard of longest ago; 0 when none runs."""
    running = col(TrainingJob.status) == JobStatus.RUNNING
    heard_at = (await session.exec(select(func.min(col(TrainingJob.heartbeat_at))).where(running))).one()
    return max(0.0, (utc_now() - heard_at).total_seconds()) if heard_at else 0.0


async def _count(session: AsyncSession, table: str, state: Mapped[str] | None) -> list[RowCount]:
    if state is None:
        total = (await session.exec(select(func.count()).select_from(metadata.tables[table]))).one()
        return [RowCount(table, "all", total)]
    rows = (await session.exec(select(state, func.count()).group_by(state))).all()
    return [RowCount(table, name, count) for name, count in rows]
