"""Mirrors runs, metrics, artifacts, versions and aliases into MLflow: empties the outbox, in order, and never in a hurry.

Our tables are the truth; MLflow may be slow, dead or absent for as long as it likes. Only the thread that speaks to it waits
for it: rows stay in the outbox until it has confirmed them. mlflow is imported by that thread, when there is something to tell.
"""

import asyncio
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import is_away
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import MirrorState, Outbox, TrainingJob
from mlx_hub.models.registered_model import ModelVersion
from mlx_hub.services.mlflow_store import MlflowDownError, MlflowStore, RowRefusedError, Told, mlflow_store
from mlx_hub.services.outbox import OutboxKind
from mlx_hub.services.own_thread import in_own_thread
from mlx_hub.services.worker_context import WorkerContext

log = structlog.get_logger(__name__)

Teller = Callable[[str, dict[str, Any]], Told]
"""Takes the kind and the payload of a row."""

MIRROR_NAME = "mlflow"
POLL_SECONDS = 2.0
LEASE_SECONDS = 30.0
MAX_DELAY_SECONDS = 30.0
_RELEASE_SECONDS = 5.0
_WINDOW = 300
"""Rows looked at for metrics of one job that can be told together."""
_MAX_METRICS = 1000
"""Of one call; MLflow takes no more."""
_MAX_TRIES, _MAX_UNCERTAIN_TRIES = 4, 20
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
    "DO_NOT_TRACK": "true",
}
"""mlflow 3.17 reads these from the environment only; its own defaults would block for minutes on a dead server."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that are told by one call."""

    ids: list[int]
    kind: str
    payload: dict[str, Any]


class Mirror:
    """One for a worker, used on its event loop. Of several on one database one is at work: it holds the lease."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._store = mlflow_store(context.settings)
        self._holder = f"{context.machine_id}:{uuid4().hex}"
        self._lease_until = datetime.min.replace(tzinfo=UTC)
        self._teller: Teller | None = None
        """Of the thread alone."""
        self._num_failures = 0
        self._num_single = 0
        """So many rows are told one by one, as one of them was refused."""

    async def run(self) -> None:
        """Until it is cancelled. Nothing that goes wrong here reaches the caller."""
        try:
            while True:
                delay = await self._turn()
                await asyncio.sleep(delay)
        finally:
            await self._release()

    async def _turn(self) -> float:
        """Tells what is first in the outbox. Returns the seconds until there may be more to do."""
        try:
            if not await self._has_work():
                return POLL_SECONDS
            if not await self._lease():
                return LEASE_SECONDS / 6
            batch = await self._next_batch()
            return await self._follow(batch) if batch else POLL_SECONDS
        except Exception as error:
            if is_away(error):
                log.warning("mirror_database_down", reason=type(error).__name__)
            else:
                log.exception("mirror_failed")
        return MAX_DELAY_SECONDS / 6

    async def _follow(self, batch: _Batch) -> float:
        try:
            told = await self._tell(batch)
        except MlflowDownError as error:
            return await self._wait_for_mlflow(str(error))
        except RowRefusedError as error:
            return await self._retry_or_set_aside(batch, error)
        await self._confirm(batch, told)
        self._num_failures = 0
        self._num_single = max(0, self._num_single - 1)
        return 0.0

    async def _has_work(self) -> bool:
        async with self._context.readers.begin() as session:
            return (await session.exec(_pending().limit(1))).first() is not None

    async def _next_batch(self) -> _Batch | None:
        async with self._context.readers.begin() as session:
            rows = (await session.exec(_pending().limit(1 if self._num_single else _WINDOW))).all()
        if not rows:
            return None
        first = rows[0]
        if first.kind != OutboxKind.METRICS:
            return _Batch([first.id or 0], first.kind, first.payload)
        told = _metrics_of_one_job(rows)
        points = [point for row in told for point in row.payload["points"]]
        return _Batch([row.id or 0 for row in told], first.kind, {**first.payload, "points": points})

    async def _tell(self, batch: _Batch) -> Told:
        """What MLflow confirmed. The lease is renewed meanwhile."""
        answer = asyncio.ensure_future(in_own_thread(lambda: self._tell_now(batch), name="mlflow"))
        try:
            while not (await asyncio.wait({answer}, timeout=LEASE_SECONDS / 3))[0]:
                await self._lease()
            return answer.result()
        finally:
            answer.cancel()

    def _tell_now(self, batch: _Batch) -> Told:
        """In the thread."""
        if self._teller is None:
            self._teller = _connect(self._store)
        return self._teller(batch.kind, batch.payload)

    async def _confirm(self, batch: _Batch, told: Told) -> None:
        async with self._context.sessions.begin() as session:
            await session.exec(delete(Outbox).where(col(Outbox.id).in_(batch.ids)))
            if told.run_id is not None:
                is_new = col(TrainingJob.mlflow_run_id).is_distinct_from(told.run_id)
                of_job = update(TrainingJob).where(col(TrainingJob.id) == told.job_id, is_new)
                await session.exec(of_job.values(mlflow_run_id=told.run_id))
            if told.version_id is not None:
                of_version = update(ModelVersion).where(col(ModelVersion.id) == told.version_id)
                await session.exec(of_version.values(mlflow_run_id=told.run_id))
            await self._note(session, told_at=utc_now(), error=None, error_at=None)

    async def _wait_for_mlflow(self, reason: str) -> float:
        if self._num_failures == 0:
            log.warning("mlflow_down", uri=self._store.shown, reason=reason)
        self._num_failures += 1
        async with self._context.sessions.begin() as session:
            await self._note(session, error=reason, error_at=utc_now())
        return self._delay()

    async def _retry_or_set_aside(self, batch: _Batch, error: RowRefusedError) -> float:
        if len(batch.ids) > 1:
            self._num_single = len(batch.ids)
            return 0.0
        self._num_failures += 1
        is_hopeless = self._num_failures >= (_MAX_TRIES if error.is_certain else _MAX_UNCERTAIN_TRIES)
        async with self._context.sessions.begin() as session:
            await self._note(session, error=str(error), error_at=utc_now())
            if is_hopeless:
                of_row = update(Outbox).where(col(Outbox.id).in_(batch.ids))
                await session.exec(of_row.values(set_aside_at=utc_now(), error=str(error)))
        if not is_hopeless:
            return self._delay()
        log.error("mlflow_row_set_aside", row=batch.ids[0], kind=batch.kind, reason=str(error))
        self._num_failures = 0
        return 0.0

    def _delay(self) -> float:
        return min(MAX_DELAY_SECONDS, 0.5 * 2**self._num_failures)

    async def _lease(self) -> bool:
        """Take the lease, or renew it when a third of it is over. False while another worker has it."""
        now = utc_now()
        if self._lease_until - now > timedelta(seconds=LEASE_SECONDS * 2 / 3):
            return True
        until = now + timedelta(seconds=LEASE_SECONDS)
        async with self._context.sessions.begin() as session:
            row = await session.get(MirrorState, MIRROR_NAME, with_for_update=True)
            if row is None:
                session.add(MirrorState(name=MIRROR_NAME, holder=self._holder, lease_until=until, uri=self._store.shown))
            elif row.holder == self._holder or row.lease_until < now:
                row.holder, row.lease_until, row.uri = self._holder, until, self._store.shown
            else:
                return False
        self._lease_until = until
        return True

    async def _release(self) -> None:
        if self._lease_until <= utc_now():
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS), self._context.sessions.begin() as session:
                await self._note(session, lease_until=utc_now())
        except Exception as error:
            # It runs out by itself.
            log.warning("mirror_lease_not_released", reason=type(error).__name__)

    async def _note(self, session: AsyncSession, **values: Any) -> None:
        mine = update(MirrorState).where(col(MirrorState.name) == MIRROR_NAME, col(MirrorState.holder) == self._holder)
        await session.exec(mine.values(**values))


def _pending() -> Any:
    return select(Outbox).where(col(Outbox.set_aside_at).is_(None)).order_by(col(Outbox.id))


def _metrics_of_one_job(rows: Sequence[Outbox]) -> list[Outbox]:
    """Rows of the first one's job up to its first row of another kind, not many more numbers than MLflow takes at once."""
    found: list[Outbox] = []
    num_metrics = 0
    for row in rows:
        if row.subject_id != rows[0].subject_id:
            continue
        if row.kind != OutboxKind.METRICS or (found and num_metrics >= _MAX_METRICS):
            break
        found.append(row)
        num_metrics += sum(len(point) - 2 for point in row.payload["points"])
    return found


def _connect(store: MlflowStore) -> Teller:
    """In the thread: imports mlflow, and makes the local store where that is used. Raises MlflowDownError."""
    os.environ.update(_ENVIRONMENT)
    if store.username is not None:
        os.environ.update({"MLFLOW_TRACKING_USERNAME": store.username, "MLFLOW_TRACKING_PASSWORD": store.password or ""})
    try:
        if store.artifact_location is not None:
            Path(store.artifact_location).mkdir(mode=0o700, parents=True, exist_ok=True)
        client = importlib.import_module("mlx_hub.services.mlflow_client")
        return client.MlflowTeller(store.uri, artifact_location=store.artifact_location).tell
    except Exception as error:
        raise MlflowDownError(f"{type(error).__name__}: {error}"[:500]) from error
