"""One download from the row to the published model. Any process may run it, and run it again after another was killed."""

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.durable_files import is_disk_full
from mlx_hub.db import Sessions, is_away
from mlx_hub.errors import HubError, InUseError, StorageFullError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, DownloadStatus
from mlx_hub.observability.tracing import mark_failed, span
from mlx_hub.services import model_cache
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.download_events import publish_download
from mlx_hub.services.download_plan import DownloadPlan, PlannedFile, plan_download
from mlx_hub.services.downloads import read_download, register_model
from mlx_hub.services.file_fetch import FileSource, Retries, bytes_on_disk, fetch_file, retrying
from mlx_hub.services.hub_client import HubClient
from mlx_hub.services.model_check import check_config, check_weights, describe_model

REPORT_SECONDS = 0.5
"""How often progress is written and the wish of the people read."""
NUM_PARALLEL_FILES = 4
_RATE_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.5
_GONE = "gone"
"""Instead of a wish: the row has gone on to another attempt."""

log = structlog.get_logger(__name__)


async def _nothing_served() -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class DownloadContext:
    """What a worker process has for all its downloads. `served` tells which models the inference server holds now."""

    sessions: Sessions
    hub: HubClient
    folder: CacheFolder
    max_cache_bytes: int
    machine_id: str
    retries: Retries = field(default_factory=Retries)
    served: Callable[[], Awaitable[frozenset[str]]] = _nothing_served


async def run_download(context: DownloadContext, download_id: UUID, attempt: int) -> None:
    """Bring this attempt at the download to an end, or to a pause. What went wrong is in the row, not raised.

    May be called for a row that another process was running when it died; does nothing for a row that has gone on to
    another attempt or state. Cancelled (the worker stops), it leaves the row as running, to be run again. Raises what
    the database raises.
    """
    started = {
        "status": DownloadStatus.RUNNING,
        "machine_id": context.machine_id,
        "started_at": func.coalesce(col(Download.started_at), utc_now()),
    }
    statuses = (DownloadStatus.QUEUED, DownloadStatus.RUNNING)
    async with context.sessions.begin() as session:
        row = await _update(session, download_id, attempt, statuses, started)
        if row is None:
            return
        await publish_download(session, row)
    await _Run(context, row).run()


async def _update(
    session: AsyncSession, download_id: UUID, attempt: int, statuses: Collection[str], values: dict[str, Any], *also: Any
) -> Download | None:
    """The row after the change. None when the attempt is no longer in one of `statuses`."""
    is_here = (col(Download.id) == download_id, col(Download.attempt) == attempt, col(Download.status).in_(statuses), *also)
    if not (await session.exec(update(Download).where(*is_here).values(**values))).rowcount:
        return None
    return await read_download(session, download_id)


class _Run:
    """One attempt at one download, on one event loop."""

    def __init__(self, context: DownloadContext, download: Download) -> None:
        self._context = context
        self._folder = context.folder
        self._id = download.id
        self._attempt = download.attempt
        self._repo_id = download.repo_id
        self._revision = download.revision
        self._num_bytes: dict[str, int] = {}
        self._rate = _Rate()
        self._told: dict[str, Any] = {}
        self._log = log.bind(download_id=str(download.id), model=download.repo_id)

    async def run(self) -> None:
        """Until it has ended, or is no longer this run's."""
        while not await self._run_until_wish():
            self._log.info("download_goes_on")

    async def _run_until_wish(self) -> bool:
        """False when people have changed their mind before the work had stopped: it is to go on."""
        work = asyncio.create_task(self._work())
        try:
            while (wish := await self._report()) == "run" and not work.done():
                await asyncio.wait({work}, timeout=REPORT_SECONDS)
        finally:
            work.cancel()
            await asyncio.wait({work})
        if work.cancelled():
            return await self._stop(wish)
        if error := work.exception():
            await self._fail(error)
        else:
            await self._finish(work.result())
        return True

    async def _report(self) -> str:
        """Write the progress, read what is wished. A database that is away for a while does not stop the work."""
        num_bytes = sum(self._num_bytes.values())
        seen = self._progress() | {"bytes_per_second": self._rate.measure(num_bytes)}
        try:
            row = await self._save(seen | {"progress_at": utc_now()}, is_told=seen != self._told)
        except (SQLAlchemyError, OSError) as error:
            self._log.warning("progress_not_written", reason=type(error).__name__)
            return "run"
        self._told = seen
        return row.requested if row else _GONE

    def _progress(self) -> dict[str, Any]:
        """Nothing before the files on disk were looked at."""
        return {"num_bytes_done": sum(self._num_bytes.values())} if self._num_bytes else {}

    async def _work(self) -> Path:
        """The path of the published model."""
        with span("plan"):
            plan = await self._planned()
        with ExitStack() as lock:
            await self._lock(lock, plan.commit)
            if await asyncio.to_thread(self._is_published, plan):
                self._folder.write_ref(self._repo_id, plan.commit, revision=self._revision)
                return self._folder.snapshot(self._repo_id, plan.commit)
            with span("fetch", {"mlx.download.bytes": plan.num_bytes, "mlx.download.files": len(plan.files)}):
                await self._fetch(plan)
            # From here on nothing waits, so that a wish to stop comes either before or after all of it.
            return self._folder.publish(self._repo_id, plan.commit, revision=self._revision)

    async def _planned(self) -> DownloadPlan:
        """The plan of the first attempt, whatever the revision has become since."""
        async with self._context.sessions.begin() as session:
            row = await read_download(session, self._id)
        if row.commit:
            return DownloadPlan(row.commit, [PlannedFile(**file) for file in row.files])
        plan = await retrying(lambda: plan_download(self._context.hub, self._repo_id, self._revision), self._context.retries)
        files = [file.as_row() for file in plan.files]
        await self._save({"commit": plan.commit, "files": files, "num_bytes_total": plan.num_bytes})
        self._log.info("download_planned", commit=plan.commit, num_files=len(plan.files), num_bytes=plan.num_bytes)
        return plan

    async def _lock(self, lock: ExitStack, commit: str) -> None:
        """Wait until nobody else fetches this commit: for another revision, or in a process thought dead."""
        while True:
            try:
                lock.enter_context(self._folder.exclusive(self._repo_id, commit))
                return
            except InUseError:
                await asyncio.sleep(_LOCK_POLL_SECONDS)

    async def _fetch(self, plan: DownloadPlan) -> None:
        partial = self._folder.partial(self._repo_id, plan.commit)
        partial.mkdir(parents=True, exist_ok=True)
        self._num_bytes = {file.name: bytes_on_disk(partial, file) for file in plan.files}
        self._rate = _Rate()
        await self._reserve()
        small = [file for file in plan.files if not file.name.endswith(".safetensors")]
        # Small files can refuse the model before gigabytes are fetched.
        await self._fetch_files(plan, small, partial)
        check_config(partial)
        await self._fetch_files(plan, [file for file in plan.files if file not in small], partial)
        await asyncio.to_thread(check_weights, partial)

    async def _reserve(self) -> None:
        served = await self._context.served()
        async with self._context.sessions.begin() as session:
            download = await read_download(session, self._id)
            download.num_bytes_done = sum(self._num_bytes.values())
            room = await model_cache.make_room(
                session, self._folder, download, max_bytes=self._context.max_cache_bytes, served=served
            )
        await room.delete_trash()

    async def _fetch_files(self, plan: DownloadPlan, files: list[PlannedFile], partial: Path) -> None:
        source = FileSource(self._context.hub, self._repo_id, plan.commit)
        slots = asyncio.Semaphore(NUM_PARALLEL_FILES)

        async def fetch(file: PlannedFile) -> None:
            async with slots:
                await fetch_file(source, file, partial, retries=self._context.retries, on_bytes=self._num_bytes.__setitem__)

        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(fetch(file))
        except BaseExceptionGroup as failures:
            # The others were cancelled because of the first.
            raise failures.exceptions[0] from None

    def _is_published(self, plan: DownloadPlan) -> bool:
        """Whether the snapshot is there already. One that another program left incomplete is taken away."""
        snapshot = self._folder.snapshot(self._repo_id, plan.commit)
        if all(_size(snapshot / file.name) == file.num_bytes for file in plan.files):
            return True
        if trash := self._folder.discard(self._repo_id, plan.commit):
            shutil.rmtree(trash, ignore_errors=True)
        return False

    async def _fail(self, error: BaseException) -> None:
        if is_away(error):
            raise error
        if is_disk_full(error):
            error = StorageFullError("The disk is full: free some space, then resume the download.")
        if isinstance(error, HubError):
            self._log.warning("download_failed", code=error.code, reason=error.message)
            code, message = error.code, error.message
        else:
            self._log.error("download_broke", exc_info=error)
            code, message = HubError.code, "The download broke because of a mistake in this program; see the worker's log."
        mark_failed(code)
        await self._save({"status": DownloadStatus.FAILED, "error_code": code, "error_message": message, **_ended()})

    async def _finish(self, snapshot: Path) -> None:
        details = await asyncio.to_thread(describe_model, self._repo_id, snapshot)
        values = {
            "status": DownloadStatus.READY,
            "requested": "run",
            "path": str(snapshot),
            "details": details,
            "num_bytes_done": col(Download.num_bytes_total),
            "last_used_at": utc_now(),
            "error_code": None,
            "error_message": None,
        }
        async with self._context.sessions.begin() as session:
            row = await _update(session, self._id, self._attempt, (DownloadStatus.RUNNING,), values | _ended())
            if row:
                await register_model(session, row)
                await publish_download(session, row)
        if row:
            self._log.info("download_ready", commit=row.commit, num_bytes=row.num_bytes_total)

    async def _stop(self, wish: str) -> bool:
        """Whether the run is over: the wish was fulfilled, or the row is another's."""
        if wish == _GONE:
            self._log.info("download_taken_over")
            return True
        values: dict[str, Any] = {"status": DownloadStatus.PAUSED, "bytes_per_second": 0, **self._progress()}
        if wish == "cancel":
            await self._remove_partial()
            values = {"status": DownloadStatus.CANCELLED, "num_bytes_done": 0, **_ended()}
        if row := await self._save(values, col(Download.requested) == wish):
            self._log.info("download_stopped", status=row.status)
        return row is not None

    async def _remove_partial(self) -> None:
        async with self._context.sessions.begin() as session:
            commit = (await read_download(session, self._id)).commit
        self._num_bytes = {}
        if commit:
            # A process that fetches the same commit for another revision keeps the files.
            with suppress(InUseError):
                await asyncio.to_thread(self._folder.remove_partial, self._repo_id, commit)

    async def _save(self, values: dict[str, Any], *also: Any, is_told: bool = True) -> Download | None:
        """Only while it runs in this attempt: what came to an end, or on, by another process stays so."""
        async with self._context.sessions.begin() as session:
            row = await _update(session, self._id, self._attempt, (DownloadStatus.RUNNING,), values, *also)
            if row and is_told:
                await publish_download(session, row)
        return row


def _ended() -> dict[str, Any]:
    return {"bytes_per_second": 0, "completed_at": utc_now()}


class _Rate:
    """Bytes per second over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def measure(self, num_bytes: int) -> int:
        now = time.monotonic()
        self._samples.append((now, num_bytes))
        while now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        first_at, first_bytes = self._samples[0]
        return max(0, int((num_bytes - first_bytes) / (now - first_at))) if now > first_at else 0


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None
