"""How much the downloaded models take, and which of them goes when another needs the room.

The rows in `ready` say what is there; a model that is pinned, in use or on its way never goes.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import Sessions
from mlx_hub.errors import InUseError, NotFoundError, StorageFullError, WrongStateError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, DownloadStatus, JobStatus, TrainingJob
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.download_events import publish_download

LOCAL_PREFIX = "local/"
"""Owner of the models that were made here, which no hub has."""
ORPHAN_SECONDS = 24 * 3600.0
DISK_MARGIN_BYTES = 512 * 2**20
"""Left free on the disk for everybody else."""
LEASE_SECONDS = 10.0
"""Whoever moves a model holds its lock for moments only; after so long it is being fetched or deleted."""
_LEASE_POLL_SECONDS = 0.2
_UNFINISHED = (DownloadStatus.QUEUED, DownloadStatus.RUNNING, DownloadStatus.PAUSED, DownloadStatus.FAILED)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """`num_bytes` is of complete models, `num_bytes_partial` of unfinished downloads."""

    num_bytes: int
    num_bytes_partial: int
    max_bytes: int
    free_disk_bytes: int
    num_models: int


@dataclass(frozen=True, slots=True)
class Room:
    """What made room: the models that went, and the folders that are to be deleted after the transaction."""

    evicted: list[str]
    trash: list[Path]

    async def delete_trash(self) -> None:
        await delete_folders(self.trash)


async def delete_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def read_usage(session: AsyncSession, folder: CacheFolder, store_id: str, *, max_bytes: int) -> CacheUsage:
    """Sizes by the store's rows, and the free bytes of the disk."""
    ready = _by_snapshot(await _ready_rows(session, store_id))
    others = await _rows(session, col(Download.status).in_(_UNFINISHED), col(Download.store_id) == store_id)
    return CacheUsage(
        num_bytes=sum(rows[0].num_bytes_total for rows in ready),
        num_bytes_partial=sum(row.num_bytes_done for row in others),
        max_bytes=max_bytes,
        free_disk_bytes=await asyncio.to_thread(folder.free_bytes),
        num_models=len(ready),
    )


async def make_room(
    session: AsyncSession, folder: CacheFolder, download: Download, *, max_bytes: int, served: frozenset[str] = frozenset()
) -> Room:
    """Evict least recently used models until all of `download` fits the quota and the rest of it the disk.

    `served` are the models that the inference server holds. Raises StorageFullError, with nothing evicted, when it cannot fit.
    """
    ready = _by_snapshot(await _ready_rows(session, download.store_id))
    is_other = (col(Download.id) != download.id, col(Download.store_id) == download.store_id)
    unfinished = await _rows(session, col(Download.status).in_(_UNFINISHED), *is_other)
    taken = sum(rows[0].num_bytes_total for rows in ready) + sum(_reserved_bytes(row) for row in unfinished)
    over_quota = taken + download.num_bytes_total - max_bytes
    missing_disk = download.num_bytes_total - download.num_bytes_done + DISK_MARGIN_BYTES
    over_disk = missing_disk - await asyncio.to_thread(folder.free_bytes)
    to_free = max(over_quota, over_disk)
    if to_free <= 0:
        return Room([], [])
    in_use = served | await _models_of_jobs(session)
    candidates = [rows for rows in ready if not any(row.is_pinned or row.repo_id in in_use for row in rows)]
    room = await _evict(session, folder, sorted(candidates, key=_last_use), to_free=to_free)
    if room is None:
        raise StorageFullError(_full_message(download, over_quota=over_quota >= over_disk))
    return room


async def _evict(session: AsyncSession, folder: CacheFolder, candidates: list[list[Download]], *, to_free: int) -> Room | None:
    """None, with nothing evicted, when too many of the candidates are leased."""
    chosen: list[list[Download]] = []
    with ExitStack() as locks:
        for rows in candidates:
            if to_free <= 0:
                break
            with suppress(InUseError):
                locks.enter_context(folder.exclusive(rows[0].repo_id, rows[0].commit or ""))
                chosen.append(rows)
                to_free -= rows[0].num_bytes_total
        if to_free > 0:
            return None
        moved = [await _discard(session, folder, rows[0].repo_id, rows[0].commit or "", rows=rows) for rows in chosen]
    for rows in chosen:
        log.info("model_evicted", model=rows[0].repo_id, num_bytes=rows[0].num_bytes_total)
    return Room([rows[0].repo_id for rows in chosen], [path for path in moved if path])


async def _discard(session: AsyncSession, folder: CacheFolder, repo_id: str, commit: str, *, rows: list[Download]) -> Path | None:
    """Take one snapshot away and mark all rows that point to it; the caller holds its lock."""
    for row in rows:
        await _mark_evicted(session, row)
    return await asyncio.to_thread(folder.discard, repo_id, commit)


async def remove_models(session: AsyncSession, folder: CacheFolder, repo_ids: Collection[str]) -> list[Path]:
    """Take all snapshots of these models away, pinned or not; the folders that come back are to be deleted afterwards.

    Raises InUseError, with everything left where it is, when a process or a job needs one of them.
    """
    if needed := sorted(set(repo_ids) & await _models_of_jobs(session)):
        raise InUseError(f"A training job needs {needed[0]}: cancel the job first.")
    found = await _rows(session, col(Download.status) == DownloadStatus.READY, col(Download.repo_id).in_(repo_ids))
    groups = {(rows[0].repo_id, rows[0].commit or ""): rows for rows in _by_snapshot(found)}
    for repo_id in repo_ids:
        # A model that was made here has a snapshot without a download.
        if repo_id.startswith(LOCAL_PREFIX) and (commit := await asyncio.to_thread(folder.read_ref, repo_id, "main")):
            groups.setdefault((repo_id, commit), [])
    with ExitStack() as locks:
        for repo_id, commit in groups:
            locks.enter_context(folder.exclusive(repo_id, commit))
        moved = [await _discard(session, folder, *place, rows=rows) for place, rows in groups.items()]
    return [path for path in moved if path]


async def pin(session: AsyncSession, download_id: UUID) -> None:
    """Keep the model whatever else needs room. Raises NotFoundError."""
    await _set_pinned(session, download_id, is_pinned=True)


async def unpin(session: AsyncSession, download_id: UUID) -> None:
    """Let the model be evicted again. Raises NotFoundError."""
    await _set_pinned(session, download_id, is_pinned=False)


async def _set_pinned(session: AsyncSession, download_id: UUID, *, is_pinned: bool) -> None:
    result = await session.exec(update(Download).where(col(Download.id) == download_id).values(is_pinned=is_pinned))
    if not result.rowcount:
        raise NotFoundError("There is no such download.")


async def touch(session: AsyncSession, repo_ids: Iterable[str]) -> None:
    """Note that these models were used now."""
    await session.exec(update(Download).where(col(Download.repo_id).in_(list(repo_ids))).values(last_used_at=utc_now()))


@asynccontextmanager
async def leased_snapshot(
    sessions: Sessions, folder: CacheFolder, model: RegisteredModel
) -> AsyncGenerator[tuple[Path, str | None]]:
    """The folder of the weights that `model` names as its base, and their commit; they are not evicted inside the block.

    A base model that is an absolute path of a folder with a `config.json` is that folder, without a commit, and is not
    guarded. Raises WrongStateError when nothing is there, InUseError while it is being fetched or removed.
    """
    name = model.base_model
    if name.startswith("/"):
        if not await asyncio.to_thread(Path(name, "config.json").is_file):
            raise WrongStateError(f"The base model {name} is not a folder with a config.json on this machine.")
        yield Path(name), None
        return
    with ExitStack() as lease:
        for commit in await _ready_commits(sessions, folder, name):
            snapshot = await _lease(lease, folder, name, commit)
            if await asyncio.to_thread((snapshot / "config.json").is_file):
                break
        else:
            raise WrongStateError(f"The base model {name} is not in the model cache: download it first.")
        async with sessions.begin() as session:
            await touch(session, [name])
        yield snapshot, commit


async def _ready_commits(sessions: Sessions, folder: CacheFolder, repo_id: str) -> list[str]:
    """The newest first; for a model that was made here and never downloaded, what its reference `main` names."""
    ready = (col(Download.repo_id) == repo_id, col(Download.status) == DownloadStatus.READY)
    async with sessions.begin() as session:
        rows = await _rows(session, *ready)
    commits = [row.commit for row in sorted(rows, key=lambda row: _last_use([row]), reverse=True) if row.commit]
    made_here = None if commits else await asyncio.to_thread(folder.read_ref, repo_id, "main")
    return [made_here] if made_here else commits


async def _lease(stack: ExitStack, folder: CacheFolder, repo_id: str, commit: str) -> Path:
    """Waits a little for whoever moves the model just now."""
    deadline = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            return await asyncio.to_thread(stack.enter_context, folder.lease(repo_id, commit))
        except InUseError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_LEASE_POLL_SECONDS)


async def sweep(sessions: Sessions, folder: CacheFolder, store_id: str, *, orphan_seconds: float = ORPHAN_SECONDS) -> int:
    """Delete what no row wants any more, and mark rows of the store whose model has vanished as evicted.

    Returns the folders deleted.
    """
    async with sessions.begin() as session:
        for row in await _ready_rows(session, store_id):
            if not await asyncio.to_thread(folder.snapshot(row.repo_id, row.commit or "").is_dir):
                await _mark_evicted(session, row)
                log.warning("model_vanished", model=row.repo_id)
        wanted = await _rows(session, col(Download.status).in_(_UNFINISHED))
    keep = frozenset(folder.partial(row.repo_id, row.commit) for row in wanted if row.commit)
    return await asyncio.to_thread(folder.sweep, keep=keep, older_than=time.time() - orphan_seconds)


async def _mark_evicted(session: AsyncSession, row: Download) -> None:
    row.status, row.path, row.num_bytes_done = DownloadStatus.EVICTED, None, 0
    await publish_download(session, row)


async def _rows(session: AsyncSession, *conditions: ColumnElement[bool]) -> list[Download]:
    return list((await session.exec(select(Download).where(*conditions))).all())


async def _ready_rows(session: AsyncSession, store_id: str) -> list[Download]:
    """Models of another store lie in a folder of its own, perhaps on another machine."""
    return await _rows(session, col(Download.status) == DownloadStatus.READY, col(Download.store_id) == store_id)


def _by_snapshot(rows: list[Download]) -> list[list[Download]]:
    """Rows that point to one snapshot, asked for as a branch and as a commit for example, belong together."""
    groups: dict[tuple[str, str | None], list[Download]] = {}
    for row in rows:
        groups.setdefault((row.repo_id, row.commit), []).append(row)
    return list(groups.values())


def _last_use(rows: list[Download]) -> float:
    return max((row.last_used_at or row.completed_at or row.created_at).timestamp() for row in rows)


def _reserved_bytes(row: Download) -> int:
    """A running download has its whole size reserved; the others what they have on disk."""
    return row.num_bytes_total if row.status == DownloadStatus.RUNNING else row.num_bytes_done


async def _models_of_jobs(session: AsyncSession) -> frozenset[str]:
    """Hub ids of the models that queued and running jobs train on."""
    active = col(TrainingJob.status).in_((JobStatus.QUEUED, JobStatus.RUNNING))
    is_trained = col(RegisteredModel.id) == col(TrainingJob.model_id)
    names = await session.exec(select(RegisteredModel.base_model).join(TrainingJob, is_trained).where(active))
    return frozenset(names.all())


def _full_message(download: Download, *, over_quota: bool) -> str:
    limit = "MODEL_CACHE_MAX_SIZE" if over_quota else "the free space of the disk"
    return (
        f"{download.repo_id} needs {download.num_bytes_total} bytes, which is more than {limit} allows "
        "with the models that are pinned or in use: remove or unpin some."
    )
