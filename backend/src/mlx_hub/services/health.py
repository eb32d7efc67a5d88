"""Whether what the service stands on works: the database and the folders; and whether the others do their part."""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import func, literal
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
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.system import list_machines, read_inference_state, read_mlflow_state

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 3.0
_MIN_FREE_BYTES = 256 * 2**20
_MAX_SECONDS_BEHIND = 60.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` says what is the matter."""

    ok: bool
    detail: str | None = None


async def check_database(readers: Sessions) -> CheckResult:
    """Asks it a question."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), readers.begin() as session:
            await session.exec(select(literal(1)))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("database_down", reason=type(error).__name__)
        return CheckResult(False, "the database does not answer")
    return CheckResult(True)


async def check_storage(settings: Settings) -> CheckResult:
    """Writes a byte into each folder and looks at the room left."""
    return await asyncio.to_thread(_check_folders, (settings.data_dir, settings.model_cache_dir))


def _check_folders(folders: tuple[Path, ...]) -> CheckResult:
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"\0")
        except OSError as error:
            return CheckResult(False, f"{folder} cannot be written: {os.strerror(error.errno or 0)}")
        if (free := shutil.disk_usage(folder).free) < _MIN_FREE_BYTES:
            return CheckResult(False, f"{folder} has only {free} bytes left")
    return CheckResult(True)


async def check_worker(readers: Sessions, *, lease_seconds: float) -> CheckResult:
    """Whether some machine would do what is asked for."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), readers.begin() as session:
            machines = await list_machines(session, lease_seconds=lease_seconds)
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(False, "the database does not answer")
    if any(machine.is_alive for machine in machines):
        return CheckResult(True)
    last_seen = max((machine.last_seen_at for machine in machines), default=None)
    since = f"the last was seen {last_seen:%Y-%m-%d %H:%M:%S} UTC" if last_seen else "none was ever seen"
    return CheckResult(False, f"no worker runs ({since}): jobs and downloads wait; start one with `mlx-hub worker`")


async def check_mlflow(readers: Sessions, settings: Settings) -> CheckResult:
    """Whether MLflow follows; it may be a little late."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), readers.begin() as session:
            state = await read_mlflow_state(session, settings)
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(False, "the database does not answer")
    if state.seconds_behind <= _MAX_SECONDS_BEHIND:
        return CheckResult(True)
    reason = state.error or "no worker tells it"
    return CheckResult(False, f"{state.num_pending_rows} updates wait, for {state.seconds_behind:.0f} s: {reason}")


async def check_inference(inference: InferenceClient, settings: Settings) -> CheckResult:
    """Whether it answers."""
    state = await read_inference_state(inference, settings.inference_url)
    return CheckResult(state.detail is None, state.detail)


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
