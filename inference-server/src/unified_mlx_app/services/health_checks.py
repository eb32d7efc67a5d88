"""What the inference server stands on, and how each thing is asked whether it works.

Each check has a deadline of its own and runs beside the others. A broken dependency fails its own check and no other.
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

import psutil
from sqlalchemy import literal
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

from unified_mlx_app.config import Settings
from unified_mlx_app.db import Sessions, async_url
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.services.dependency_check import CheckResult, DependencyCheck, Finding, in_own_thread
from unified_mlx_app.services.system_metrics import SystemMetrics

DECIDE_READY = ("engine",)
"""Without it nothing is answered. Without the others the default model answers, and the prompt cache stays in memory."""

_GIVE_UP_SECONDS = 10.0
"""After so long a hung connection is thrown away, and the next look asks on a new one."""
_LOCK_SECONDS = 1.0
_SILENT_SECONDS = 10.0
"""The engine speaks once a second between two turns of its loop; a long turn is one prefill chunk of a large model."""
_STALLED_SECONDS = 60.0


class HealthChecks:
    """One a process; `close` it before what it asks."""

    def __init__(self, settings: Settings, sessions: Sessions, engine: EngineClient, system: SystemMetrics) -> None:
        self._engine = engine
        folder = settings.prompt_cache_dir if settings.prompt_cache_enabled and settings.prompt_cache_persist else None
        asks = {
            "database": partial(_ask_database, sessions, async_url(settings.database_url)),
            "engine": self._ask_engine,
            "cache": partial(in_own_thread, partial(_write_into, folder)),
            "disk": partial(in_own_thread, partial(_look_at_disk, folder, settings.min_free_disk)),
            "memory": partial(in_own_thread, partial(_look_at_memory, settings.min_free_memory)),
            "accelerator": partial(_ask_accelerator, system),
        }
        self._checks = {name: DependencyCheck(ask) for name, ask in asks.items()}

    async def read(self, names: Iterable[str] | None = None) -> dict[str, CheckResult]:
        """All, or those of `names`, side by side: it takes as long as the slowest, and never longer than its deadline."""
        wanted = tuple(self._checks) if names is None else tuple(names)
        results = await asyncio.gather(*(self._checks[name].result() for name in wanted))
        return dict(zip(wanted, results, strict=True))

    async def close(self) -> None:
        await asyncio.gather(*(check.close() for check in self._checks.values()))

    @property
    def has_started(self) -> bool:
        """Whether the engine was ready or spoke once; one that crashes later is started again: that is no start of the server."""
        status = self._engine.status
        return status.state == "ready" or status.stats is not None

    async def _ask_engine(self) -> Finding:
        """What it says of itself, and when it last spoke."""
        status = self._engine.status
        if status.state != "ready":
            return Finding("failed", f"the engine is {status.state}; it is started by itself, and the log says what ended it")
        if status.heartbeat_age_seconds > _STALLED_SECONDS:
            return Finding("failed", "the engine's loop hangs; it is killed and started again")
        if status.heartbeat_age_seconds > _SILENT_SECONDS:
            return Finding("warning", f"the engine has been silent for {status.heartbeat_age_seconds:.0f} s")
        return Finding("ok", status.device)


async def _ask_database(sessions: Sessions, url: URL) -> Finding:
    """Reads, and on SQLite tries for the write lock, which one process at a time holds for a moment."""
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS), sessions() as session:
            await session.exec(select(literal(1)))
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding(
            "failed", "the database does not answer: start it, or correct DATABASE_URL; until then adapters are unknown"
        )
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


def _write_into(folder: Path | None) -> Finding:
    """Of the prompt cache's disk tier, unless it is switched off."""
    if folder is None:
        return Finding("ok", "nothing is kept on disk")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return Finding("failed", f"{folder} cannot be written: {reason}; the cache works in memory and forgets all at a restart")
    return Finding("ok")


def _look_at_disk(folder: Path | None, min_free_bytes: int) -> Finding:
    """A folder that is gone is the other check's business."""
    try:
        free = shutil.disk_usage(folder or Path.home()).free
    except OSError:
        return Finding("ok")
    if free < min_free_bytes:
        return Finding("failed", f"{folder or Path.home()} has only {_gigabytes(free)} left: lower MLX_PROMPT_CACHE_DISK")
    return Finding("ok", f"{_gigabytes(free)} free")


def _look_at_memory(min_free_bytes: int) -> Finding:
    try:
        available = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        return Finding("unknown", "the system does not tell")
    if available < min_free_bytes:
        return Finding("warning", f"only {_gigabytes(available)} of memory left: unload models, or lower MLX_MEMORY_LIMIT")
    return Finding("ok", f"{_gigabytes(available)} available")


async def _ask_accelerator(system: SystemMetrics) -> Finding:
    """A machine without sensors is well, too; one whose sensor fell silent may have lost its card."""
    state = system.history(time.time()).accelerator
    if state.provider is not None and state.reason is not None:
        return Finding("warning", f"{state.reason} Look what `{state.provider}` says on this machine.")
    return Finding("ok", state.name or state.reason)


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 10**9:.1f} GB"
