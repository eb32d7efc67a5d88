"""The durable queue of a worker: a thin port over DBOS, so that another engine could take its place.

DBOS remembers which attempt at which row was handed out and hands it out again after a crash. What the work is, and how
it stands, is in the rows; DBOS gets ids only. Only the worker process may import this.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from mlx_hub.db import BUSY_TIMEOUT_MILLISECONDS, QUEUE_FILE_NAME, is_away
from mlx_hub.services.work_rows import WorkKey

SQLITE_FILE = QUEUE_FILE_NAME
POLL_SECONDS = 0.5
MAX_RECOVERIES = 100
"""So often one attempt is run again after its worker died; more is a crash loop. Workers are restarted for good reasons too."""
_APPLICATION, _VERSION = "mlx-hub", "1"
_AWAY_SECONDS = 2.0
_STOP_SECONDS = 5.0
_PRUNE_BATCH = 500

Work = Callable[[UUID, int], Awaitable[None]]
"""Brings one attempt at one row on its way, from wherever the last try left it; what went wrong is in the row."""

log = structlog.get_logger(__name__)


class WorkState(StrEnum):
    """Where an attempt is: in its queue, with a worker, done, ended by an exception, or given up after too many crashes."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    BROKEN = "broken"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Handed:
    """What has become of an attempt, and the queue that it is or was in."""

    state: WorkState
    queue: str | None


_STATES = {
    "ENQUEUED": WorkState.WAITING,
    "DELAYED": WorkState.WAITING,
    "PENDING": WorkState.RUNNING,
    "SUCCESS": WorkState.DONE,
    "CANCELLED": WorkState.DONE,
    "ERROR": WorkState.BROKEN,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": WorkState.GIVEN_UP,
}


class _Stopping(BaseException):
    """The worker stops: not an Exception, as DBOS would record that as the outcome, and the work shall go on later."""


class Workflows:
    """One for a process. Its methods belong to the event loop, on which the work runs too; DBOS's threads wait for it there."""

    def __init__(self, database_url: str | None, data_dir: Path, *, executor_id: str, works: Mapping[str, Work]) -> None:
        """`executor_id` is this worker's alone: whoever has it takes up what was left by it. `works` by kind."""
        self._database_url = database_url
        self._data_dir = data_dir
        self._executor_id = executor_id
        self._works = works
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[WorkKey, asyncio.Task[Any]] = {}
        self._is_stopping = False
        self._functions = {
            kind: DBOS.workflow(name=kind, max_recovery_attempts=MAX_RECOVERIES)(self._waiter(kind)) for kind in works
        }

    async def start(self, queues: Mapping[str, int]) -> None:
        """Take work from `queues`, at most so many at a time from each, and what this worker left when it died.

        May be called again when it raised, because the database is away for example.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._launch, queues)

    async def stop(self) -> None:
        """Cancel what runs, leave it to the next start, and let go of the database. Takes seconds, whatever hangs."""
        self._is_stopping = True
        tasks = set(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        # A thread of our own: DBOS waits for its database without an end, and to_thread's threads hold up the exit.
        ending = threading.Thread(target=self._destroy, name="workflows-stop", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _STOP_SECONDS)

    async def enqueue(self, queue: str, key: WorkKey) -> None:
        """Hand `key` over; nothing happens when it was handed over before, whatever has become of it."""
        await asyncio.to_thread(self._enqueue, queue, key)

    async def find(self, keys: Collection[WorkKey]) -> dict[WorkKey, Handed]:
        """Those that were handed over, by whichever worker."""
        by_id = {str(key): key for key in keys}
        if not by_id:
            return {}
        list_them = partial(DBOS.list_workflows, workflow_ids=list(by_id), load_input=False, load_output=False)
        found = await asyncio.to_thread(list_them)
        return {by_id[one.workflow_id]: Handed(_STATES[one.status], one.queue_name) for one in found}

    def is_running_here(self, key: WorkKey) -> bool:
        return key in self._running

    async def prune(self, *, older_than: datetime) -> int:
        """Forget what was done before that. Returns how many."""
        return await asyncio.to_thread(_prune, older_than.isoformat())

    def _launch(self, queues: Mapping[str, int]) -> None:
        # Without a handler of its own DBOS's logger would get one that prints; ours are at the root.
        logger = logging.getLogger("dbos")
        logger.addHandler(logging.NullHandler())
        if self._engine:
            self._destroy()
        self._engine = _engine(self._database_url, self._data_dir)
        config: DBOSConfig = {
            "name": _APPLICATION,
            "application_version": _VERSION,
            "executor_id": self._executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "system_database_engine": self._engine,
            "use_listen_notify": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        DBOS.listen_queues(list(queues))
        DBOS.launch()
        for name, concurrency in queues.items():
            DBOS.register_queue(
                name, worker_concurrency=concurrency, polling_interval_sec=POLL_SECONDS, on_conflict="always_update"
            )

    def _destroy(self) -> None:
        DBOS.destroy()
        if self._engine:
            self._engine.dispose()

    def _enqueue(self, queue: str, key: WorkKey) -> None:
        with SetWorkflowID(str(key)):
            DBOS.enqueue_workflow(queue, self._functions[key.kind], str(key.row_id), key.attempt)

    def _waiter(self, kind: str) -> Callable[[str, int], None]:
        """The workflow function of a kind, which runs in a thread of DBOS."""

        def wait(row_id: str, attempt: int) -> None:
            if self._is_stopping or self._loop is None:
                raise _Stopping
            try:
                asyncio.run_coroutine_threadsafe(self._do(WorkKey(kind, UUID(row_id), attempt)), self._loop).result()
            except concurrent.futures.CancelledError:
                raise _Stopping from None
            except Exception as error:
                # DBOS logs it with the traceback, but not what it happened to.
                error.add_note(f"This was {kind}:{row_id}:{attempt}.")
                raise

        return wait

    async def _do(self, key: WorkKey) -> None:
        if self._is_stopping:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        structlog.contextvars.bind_contextvars(component="worker", work=str(key))
        self._running[key] = task
        try:
            await self._persist(key)
        finally:
            del self._running[key]

    async def _persist(self, key: WorkKey) -> None:
        """A database that is away is no reason to end: the work begins again when it is back, and finds what it has done."""
        while True:
            try:
                await self._works[key.kind](key.row_id, key.attempt)
                return
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("work_waits_for_database", reason=type(error).__name__)
            await asyncio.sleep(_AWAY_SECONDS)


def _engine(database_url: str | None, data_dir: Path) -> Engine:
    """The PostgreSQL database that everything is in, or a SQLite file beside the other one."""
    url = make_url(database_url) if database_url else None
    if url is not None and url.get_backend_name() in ("postgresql", "postgres"):
        options = {"connect_timeout": 10, "application_name": "mlx-hub-worker"}
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=options)
    engine = create_engine(URL.create("sqlite", database=str(data_dir / SQLITE_FILE)))
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """As DBOS prepares an engine of its own, and WAL, with which readers and the writer do not wait for each other."""
    connection.isolation_level = "IMMEDIATE"
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}", "journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prune(completed_before: str) -> int:
    count = 0
    while True:
        old = DBOS.list_workflows(completed_before=completed_before, limit=_PRUNE_BATCH, load_input=False, load_output=False)
        DBOS.delete_workflows([found.workflow_id for found in old])
        count += len(old)
        if len(old) < _PRUNE_BATCH:
            return count
