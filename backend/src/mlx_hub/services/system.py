"""How the platform is: this machine, the workers, what MLflow has still to be told, and whether the inference server answers.

What cannot be found out is None, never zero.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.config import Settings
from mlx_hub.errors import UpstreamDownError, UpstreamError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Machine, MirrorState, Outbox
from mlx_hub.observability.host import CPUShare
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.machines import default_machine_id
from mlx_hub.services.mlflow_store import mlflow_store


@dataclass(frozen=True, slots=True)
class SystemReading:
    """One look at the machine that the API runs on."""

    cpu_percent: float | None
    """Of all cores together, since the reading before."""
    load_1_minute: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_total_bytes: int | None
    disk_free_bytes: int | None
    """Of the disk that holds the data folder."""


class SystemProbe:
    """Reads the machine; used by one thread at a time, as `read` blocks for a moment."""

    def __init__(self, data_dir: Path, *, machine_id: str | None = None) -> None:
        self.machine_id = machine_id or default_machine_id()
        self._data_dir = data_dir
        self._cpu = CPUShare()

    def read(self) -> SystemReading:
        """The share of the CPU is None the first time, and after a long pause."""
        load, memory, disk = None, None, None
        with suppress(OSError):
            load = os.getloadavg()[0]
        with suppress(OSError, psutil.Error):
            memory = psutil.virtual_memory()
        with suppress(OSError):
            disk = psutil.disk_usage(str(self._data_dir))
        return SystemReading(
            cpu_percent=self._cpu.percent(),
            load_1_minute=load,
            memory_total_bytes=memory.total if memory else None,
            memory_available_bytes=memory.available if memory else None,
            disk_total_bytes=disk.total if disk else None,
            disk_free_bytes=disk.free if disk else None,
        )


@dataclass(frozen=True, slots=True)
class MachineState:
    """A worker; `is_alive` while it renews its lease."""

    id: str
    hostname: str
    store_id: str
    device: str
    memory_bytes: int
    version: str
    started_at: datetime
    last_seen_at: datetime
    is_alive: bool


async def list_machines(session: AsyncSession, *, lease_seconds: float) -> list[MachineState]:
    """Those that were ever seen, by id."""
    alive_since = utc_now() - timedelta(seconds=lease_seconds)
    return [
        MachineState(
            id=row.id,
            hostname=row.hostname,
            store_id=row.store_id,
            device=row.device,
            memory_bytes=row.memory_bytes,
            version=row.version,
            started_at=row.started_at,
            last_seen_at=row.heartbeat_at,
            is_alive=row.heartbeat_at > alive_since,
        )
        for row in (await session.exec(select(Machine).order_by(col(Machine.id)))).all()
    ]


@dataclass(frozen=True, slots=True)
class MlflowState:
    """How far MLflow follows. `error` tells why it does not; None while it answers or nothing was to be told."""

    uri: str
    """Without a password."""
    ui_url: str | None
    """Of its pages; None for a store without a server."""
    num_pending_rows: int
    num_set_aside_rows: int
    seconds_behind: float
    """The age of the oldest thing that it does not know yet; 0 when it knows all."""
    told_at: datetime | None
    error: str | None
    error_at: datetime | None


async def read_mlflow_state(session: AsyncSession, settings: Settings) -> MlflowState:
    """As the mirror left it in the database; MLflow itself is not asked."""
    is_set_aside = col(Outbox.set_aside_at).is_not(None)
    num_set_aside = (await session.exec(select(func.count()).select_from(Outbox).where(is_set_aside))).one()
    pending: Any = select(func.count(), func.min(col(Outbox.created_at))).select_from(Outbox).where(~is_set_aside)
    num_pending, oldest = (await session.exec(pending)).one()
    state = await session.get(MirrorState, "mlflow")
    uri = state.uri if state else mlflow_store(settings).shown
    return MlflowState(
        uri=uri,
        ui_url=uri if uri.startswith(("http://", "https://")) else None,
        num_pending_rows=num_pending,
        num_set_aside_rows=num_set_aside,
        seconds_behind=max(0.0, (utc_now() - oldest).total_seconds()) if oldest else 0.0,
        told_at=state.told_at if state else None,
        error=state.error if state else None,
        error_at=state.error_at if state else None,
    )


@dataclass(frozen=True, slots=True)
class InferenceState:
    """Whether the inference server answers; `detail` says what is the matter when it does not."""

    url: str
    is_reachable: bool
    detail: str | None


async def read_inference_state(inference: InferenceClient, url: str) -> InferenceState:
    """Asks it."""
    try:
        await inference.list_served()
    except UpstreamDownError as error:
        return InferenceState(url, False, error.message)
    except UpstreamError as error:
        return InferenceState(url, True, error.message)
    return InferenceState(url, True, None)
