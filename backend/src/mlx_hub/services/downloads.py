"""The rows of downloads: asked for, paused, resumed, cancelled, listed. The work itself is in `download_run`.

A status changes only by one UPDATE that names the statuses it may come from, and what queues it again makes it another attempt;
a running download is asked by its `requested` flag. Each change is an event.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import Sessions
from mlx_hub.errors import InUseError, NotFoundError, WrongStateError
from mlx_hub.models.base import Page, PageRequest, utc_now
from mlx_hub.models.job import Download, DownloadStatus, origin
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.download_events import publish_download
from mlx_hub.services.hub_client import check_repo_id, check_revision

_RESTARTABLE = (DownloadStatus.FAILED, DownloadStatus.CANCELLED, DownloadStatus.EVICTED)


async def request_download(
    session: AsyncSession, repo_id: str, *, store_id: str, revision: str = "main", registers_model: bool = False
) -> Download:
    """The one row for this repository and revision, new, under way, ready, or queued again after it had ended.

    Workers of `store_id` will do it. With `registers_model` it also becomes a registered model, at once when it is ready.
    Raises InvalidInputError.
    """
    check_repo_id(repo_id)
    check_revision(revision)
    is_new = await _insert_once(session, Download(repo_id=repo_id, revision=revision, store_id=store_id))
    query = select(Download).where(Download.repo_id == repo_id, Download.revision == revision)
    download = (await session.exec(query)).one()
    if download.store_id == store_id and await asyncio.to_thread(_has_vanished, download):
        await _change(session, download.id, DownloadStatus.READY, values={"status": DownloadStatus.EVICTED, "path": None})
    is_queued = is_new or await _requeue(session, download, store_id=store_id)
    if registers_model:
        await _change(session, download.id, values={"registers_model": True})
    await session.refresh(download)
    if download.status == DownloadStatus.READY:
        await register_model(session, download)
    if is_queued:
        await publish_download(session, download)
    return download


def _has_vanished(download: Download) -> bool:
    """Whether somebody has deleted the files of a ready model."""
    return download.status == DownloadStatus.READY and download.path is not None and not Path(download.path).is_dir()


async def _insert_once(session: AsyncSession, download: Download) -> bool:
    """Two clients that ask at the same moment get one row. Whether it is this one."""
    insert = insert_postgresql if session.get_bind().dialect.name == "postgresql" else insert_sqlite
    statement = insert(Download).values(**download.model_dump())
    return (await session.exec(statement.on_conflict_do_nothing(index_elements=["repo_id", "revision"]))).rowcount == 1


async def _requeue(session: AsyncSession, download: Download, **values: Any) -> bool:
    """Start an ended download again. What a failed one has fetched is continued; the others begin with a new look at the hub."""
    keeps_plan = download.status == DownloadStatus.FAILED and download.error_code != NotFoundError.code
    fresh: dict[str, Any] = {} if keeps_plan else {"commit": None, "files": [], "num_bytes_done": 0, "num_bytes_total": 0}
    cleared = {"error_code": None, "error_message": None, "completed_at": None}
    return await _change(session, download.id, *_RESTARTABLE, values=values | fresh | cleared | _queued())


def _queued() -> dict[str, Any]:
    queued = {"status": DownloadStatus.QUEUED, "requested": "run", "attempt": col(Download.attempt) + 1, "machine_id": None}
    return queued | origin()


async def read_download(session: AsyncSession, download_id: UUID) -> Download:
    """Raises NotFoundError."""
    download = await session.get(Download, download_id, populate_existing=True)
    if download is None:
        raise NotFoundError("There is no such download.")
    return download


async def list_downloads(
    session: AsyncSession, page: PageRequest, *, statuses: Collection[DownloadStatus] = ()
) -> Page[Download]:
    """Newest first. Without `statuses`, of every status."""
    conditions = [col(Download.status).in_(list(statuses))] if statuses else []
    total = (await session.exec(select(func.count()).select_from(Download).where(*conditions))).one()
    query = select(Download).where(*conditions).order_by(col(Download.created_at).desc(), col(Download.id))
    rows = await session.exec(query.offset(page.offset).limit(page.size))
    return Page(items=list(rows.all()), total=total, page=page.number, page_size=page.size)


async def pause_download(session: AsyncSession, download_id: UUID) -> Download:
    """Stop it soon, keeping what it has. Raises WrongStateError for one that has ended."""
    await read_download(session, download_id)
    is_done = await _change(
        session, download_id, DownloadStatus.QUEUED, values={"status": DownloadStatus.PAUSED, "requested": "pause"}
    ) or await _change(session, download_id, DownloadStatus.RUNNING, DownloadStatus.PAUSED, values={"requested": "pause"})
    return await _changed(session, download_id, is_done=is_done, verb="paused")


async def resume_download(session: AsyncSession, download_id: UUID) -> Download:
    """Queue a paused or failed one again; it continues where it stopped. Raises WrongStateError for others that have ended."""
    download = await read_download(session, download_id)
    is_done = (
        (download.status == DownloadStatus.FAILED and await _requeue(session, download))
        or await _change(session, download_id, DownloadStatus.PAUSED, values=_queued())
        or await _change(session, download_id, DownloadStatus.QUEUED, DownloadStatus.RUNNING, values={"requested": "run"})
    )
    return await _changed(session, download_id, is_done=is_done, verb="resumed")


async def cancel_download(sessions: Sessions, folder: CacheFolder, download_id: UUID) -> Download:
    """End it and drop what it has fetched; a running one soon. Raises WrongStateError for one that is ready or has gone."""
    waiting = (DownloadStatus.QUEUED, DownloadStatus.PAUSED, DownloadStatus.FAILED)
    ended = {"status": DownloadStatus.CANCELLED, "requested": "cancel", "num_bytes_done": 0, "completed_at": utc_now()}
    async with sessions.begin() as session:
        await read_download(session, download_id)
        has_ended = await _change(session, download_id, *waiting, values=ended)
        is_done = has_ended or await _change(
            session, download_id, DownloadStatus.RUNNING, DownloadStatus.CANCELLED, values={"requested": "cancel"}
        )
        download = await _changed(session, download_id, is_done=is_done, verb="cancelled")
    if has_ended and download.commit:
        # A process that fetches the same commit for another revision keeps the files.
        with suppress(InUseError):
            await asyncio.to_thread(folder.remove_partial, download.repo_id, download.commit)
    return download


async def _changed(session: AsyncSession, download_id: UUID, *, is_done: bool, verb: str) -> Download:
    download = await read_download(session, download_id)
    if not is_done:
        raise WrongStateError(f"A download that is {download.status} cannot be {verb}.")
    await publish_download(session, download)
    return download


async def _change(session: AsyncSession, download_id: UUID, *statuses: DownloadStatus, values: dict[str, Any]) -> bool:
    """Set `values` if the status is one of `statuses` (any, when none is given). Whether it was."""
    conditions = [col(Download.id) == download_id, *([col(Download.status).in_(statuses)] if statuses else [])]
    result = await session.exec(update(Download).where(*conditions).values(**values))
    return bool(result.rowcount)


async def register_model(session: AsyncSession, download: Download) -> None:
    """Give a ready download its registered base model, named like the repository, if that was asked for."""
    if not download.registers_model or download.model_id:
        return
    known = await session.exec(select(RegisteredModel).where(RegisteredModel.name == download.repo_id))
    model = known.one_or_none()
    if model is None:
        model = RegisteredModel(name=download.repo_id, base_model=download.repo_id, kind=ModelKind.BASE)
        session.add(model)
        await session.flush()
    download.model_id = model.id
    session.add(download)
