"""What the backend stands on, and how each thing is asked whether it works.

Each check has a deadline of its own and runs beside the others. A broken dependency fails its own check and no other: what
only it could tell is "unknown".
"""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import psutil
from sqlalchemy import literal
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

from mlx_hub.config import Settings
from mlx_hub.db import Sessions, async_url
from mlx_hub.services.dependency_check import CheckResult, DependencyCheck, Finding
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.mlflow_store import mlflow_store
from mlx_hub.services.own_thread import in_own_thread
from mlx_hub.services.system import list_machines, read_inference_state, read_mlflow_state
from mlx_hub.services.system_metrics import SystemMetrics

DECIDE_READY = ("database", "storage", "disk")
"""Without these the API cannot do what it is asked. Without the others it takes requests, and work waits."""

_GIVE_UP_SECONDS = 10.0
"""After so long a hung connection is thrown away, and the next look asks on a new one."""
_LOCK_SECONDS = 1.0
_MAX_SECONDS_BEHIND = 60.0
_MLFLOW_TIMEOUT = httpx.Timeout(5.0, connect=2.0)


class HealthChecks:
    """One a process; `close` it before what it asks."""

    def __init__(self, settings: Settings, readers: Sessions, inference: InferenceClient, system: SystemMetrics) -> None:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
        folders = (settings.data_dir, settings.model_cache_dir)
        asks = {
            "database": partial(_ask_database, readers, url),
            "storage": partial(in_own_thread, partial(_write_into, folders)),
            "disk": partial(in_own_thread, partial(_look_at_disks, folders, settings.min_free_disk)),
            "memory": partial(in_own_thread, partial(_look_at_memory, settings.min_free_memory)),
            "accelerator": partial(_ask_accelerator, system),
            "worker": partial(_ask_workers, readers, settings.lease_seconds),
            "inference": partial(_ask_inference, inference, settings.inference_url),
            "mlflow": partial(_ask_mlflow, settings),
            "mirror": partial(_ask_mirror, readers, settings),
        }
        self._checks = {name: DependencyCheck(ask) for name, ask in asks.items()}

    async def read(self, names: Iterable[str] | None = None) -> dict[str, CheckResult]:
        """All, or those of `names`, side by side: it takes as long as the slowest, and never longer than its deadline."""
        wanted = tuple(self._checks) if names is None else tuple(names)
        results = await asyncio.gather(*(self._checks[name].result() for name in wanted))
        return dict(zip(wanted, results, strict=True))

    async def close(self) -> None:
        await asyncio.gather(*(check.close() for check in self._checks.values()))


async def _ask_database(readers: Sessions, url: URL) -> Finding:
    """Reads, and on SQLite tries for the write lock, which one process at a time holds for a moment."""
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS), readers.begin() as session:
            await session.exec(select(literal(1)))
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding("failed", "the database does not answer: start it, or correct DATABASE_URL")
    if url.get_backend_name() == "sqlite" and url.database and not await in_own_thread(partial(_can_lock, url.database)):
        return Finding(
            "warning", f"another process holds the write lock of {url.database}: writes wait, then fail; `lsof` names the process"
        )
    return Finding("ok")


def _can_lock(file: str) -> bool:
    """Whether a writer would get the lock soon."""
    with closing(sqlite3.connect(file, timeout=_LOCK_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def _write_into(folders: tuple[Path, ...]) -> Finding:
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"\0")
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            return Finding("failed", f"{folder} cannot be written: {reason}; make it a folder of the user that runs the backend")
    return Finding("ok")


def _look_at_disks(folders: tuple[Path, ...], min_free_bytes: int) -> Finding:
    """A folder that is gone is the other check's business."""
    for folder in folders:
        try:
            free = shutil.disk_usage(folder).free
        except OSError:
            continue
        if free < min_free_bytes:
            return Finding("failed", f"{folder} has only {_gigabytes(free)} left: free some, or lower MODEL_CACHE_MAX_SIZE")
    return Finding("ok")


def _look_at_memory(min_free_bytes: int) -> Finding:
    try:
        available = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        return Finding("unknown", "the system does not tell")
    if available < min_free_bytes:
        return Finding("warning", f"only {_gigabytes(available)} of memory left: unload models, or cancel a training job")
    return Finding("ok", f"{_gigabytes(available)} available")


async def _ask_accelerator(system: SystemMetrics) -> Finding:
    """A machine without sensors is well, too; one whose sensor fell silent may have lost its card."""
    state = system.history(time.time()).accelerator
    if state.provider is not None and state.reason is not None:
        return Finding("warning", f"{state.reason} Look what `{state.provider}` says on this machine.")
    return Finding("ok", state.name or state.reason)


async def _ask_workers(readers: Sessions, lease_seconds: float) -> Finding:
    """Whether some machine would do what is asked for."""
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS), readers.begin() as session:
            machines = await list_machines(session, lease_seconds=lease_seconds)
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding("unknown", "the database, which holds the leases, does not answer")
    if alive := [machine.id for machine in machines if machine.is_alive]:
        return Finding("ok", f"{', '.join(alive)} alive")
    last_seen = max((machine.last_seen_at for machine in machines), default=None)
    since = f"the last was seen {last_seen:%Y-%m-%d %H:%M:%S} UTC" if last_seen else "none was ever seen"
    return Finding("failed", f"no worker runs ({since}): jobs and downloads wait; start one with `mlx-hub worker`")


async def _ask_inference(inference: InferenceClient, url: str) -> Finding:
    state = await read_inference_state(inference, url)
    if state.detail is None:
        return Finding("ok")
    return Finding("failed", f"{state.detail} New adapters wait until it is there: start it, or correct MLX_HUB_INFERENCE_URL.")


async def _ask_mlflow(settings: Settings) -> Finding:
    """A server is asked itself; a local store is opened."""
    store = mlflow_store(settings)
    if store.uri.startswith("sqlite:///"):
        return await in_own_thread(partial(_open_local_store, Path(store.uri.removeprefix("sqlite:///"))))
    if not store.uri.startswith(("http://", "https://")):
        return Finding("unknown", f"nobody here can ask {store.shown}")
    auth = (store.username, store.password or "") if store.username else None
    try:
        async with httpx.AsyncClient(timeout=_MLFLOW_TIMEOUT, auth=auth) as client:
            answer = await client.get(f"{store.uri}/health")
    except (httpx.TransportError, httpx.InvalidURL) as error:
        reason = f"MLflow at {store.shown} does not answer ({type(error).__name__})"
        return Finding("failed", f"{reason}: training goes on and it is told later; start it, or correct MLFLOW_TRACKING_URI")
    if answer.is_success:
        return Finding("ok")
    return Finding("failed", f"MLflow at {store.shown} answers with status {answer.status_code}: look into its log")


async def _ask_mirror(readers: Sessions, settings: Settings) -> Finding:
    """Whether MLflow knows what happened; it may be a little late."""
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS), readers.begin() as session:
            state = await read_mlflow_state(session, settings)
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding("unknown", "the database, which holds what MLflow is to be told, does not answer")
    if state.seconds_behind <= _MAX_SECONDS_BEHIND:
        return Finding("ok")
    reason = state.error or "no worker tells it"
    return Finding("failed", f"{state.num_pending_rows} updates wait, for {state.seconds_behind:.0f} s: {reason}")


def _open_local_store(file: Path) -> Finding:
    if not file.exists():
        return Finding("ok", "the first training job makes the local store")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=_LOCK_SECONDS)) as connection:
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        return Finding("failed", f"{file} cannot be read ({error}): restore it from a backup, or move it away to begin anew")
    return Finding("ok")


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 10**9:.1f} GB"
