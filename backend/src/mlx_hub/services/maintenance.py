"""Chores that keep a store tidy and the inference server in step; each is cheap, may be cut short, and comes again."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, func
from sqlmodel import col, delete, select

from mlx_hub.db import Sessions
from mlx_hub.errors import UpstreamError
from mlx_hub.models.base import utc_now
from mlx_hub.models.idempotency import IdempotencyKey
from mlx_hub.models.job import ENDED, Event, Task
from mlx_hub.services import idempotency, model_cache
from mlx_hub.services.worker_context import WorkerContext
from mlx_hub.services.workflows import Workflows

MAX_EVENTS = 20_000
EVENTS_KEPT_FOR = timedelta(days=1)
EXPORTS_KEPT_FOR = timedelta(days=7)
HISTORY_KEPT_FOR = timedelta(days=7)
_MINUTE, _HOUR = 60.0, 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """`work` is done at the start and then every so many seconds; after a failure sooner, then less and less often."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[object]]
    first_retry_seconds: float = 5.0


def chores(context: WorkerContext, workflows: Workflows) -> list[Chore]:
    """What a worker keeps doing beside its work."""
    sessions, exports = context.sessions, context.settings.data_dir / "exports"
    return [
        Chore("promotions", 30.0, context.promotions.sync),
        Chore("model_cache", _HOUR, lambda: model_cache.sweep(sessions, context.folder, context.store_id)),
        Chore("events", _MINUTE, lambda: prune_events(sessions)),
        Chore("idempotency_keys", _HOUR, lambda: prune_keys(sessions)),
        Chore("exports", _HOUR, lambda: prune_exports(sessions, exports)),
        Chore("workflows", _HOUR, lambda: workflows.prune(older_than=utc_now() - HISTORY_KEPT_FOR)),
    ]


async def prune_events(sessions: Sessions, *, max_events: int = MAX_EVENTS, kept_for: timedelta = EVENTS_KEPT_FOR) -> int:
    """Delete events older than `kept_for`, and the oldest beyond `max_events`. Returns how many."""
    async with sessions.begin() as session:
        newest = (await session.exec(select(func.max(col(Event.id))))).one() or 0
        is_old = (col(Event.created_at) < utc_now() - kept_for) | (col(Event.id) <= newest - max_events)
        # The newest stays: after it went, SQLite would give its id again, and readers go on from an id.
        return (await session.exec(delete(Event).where(is_old, col(Event.id) < newest))).rowcount


async def prune_keys(sessions: Sessions) -> int:
    """Delete idempotency keys that count no longer. Returns how many."""
    is_old: ColumnElement[Any] = col(IdempotencyKey.created_at) < utc_now() - idempotency.KEPT_FOR
    async with sessions.begin() as session:
        return (await session.exec(delete(IdempotencyKey).where(is_old))).rowcount


async def prune_exports(sessions: Sessions, folder: Path, *, kept_for: timedelta = EXPORTS_KEPT_FOR) -> int:
    """Delete the files of tasks that ended so long ago, or have no row. Returns how many folders went."""
    names = await asyncio.to_thread(lambda: {path.name for path in folder.glob("*") if path.is_dir()})
    if not names:
        return 0
    async with sessions.begin() as session:
        is_needed = col(Task.status).not_in(ENDED) | (col(Task.completed_at) >= utc_now() - kept_for)
        needed = {str(task_id) for task_id in (await session.exec(select(Task.id).where(is_needed))).all()}
    for name in names - needed:
        await asyncio.to_thread(shutil.rmtree, folder / name, ignore_errors=True)
    return len(names - needed)


async def served_models(context: WorkerContext) -> frozenset[str]:
    """Hub ids that the inference server needs now; none, with a warning, when it cannot be asked."""
    try:
        return await context.inference.list_needed()
    except UpstreamError as error:
        log.warning("inference_not_asked", reason=error.message)
        return frozenset()
