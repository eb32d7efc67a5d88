"""The rows of downloads: asked for, paused, resumed, cancelled, listed. The work itself is in `download_run`.

A status changes only by one UPDATE that names the statuses it may come from; a running download is asked by its `requested` flag.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
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
from mlx_hub.models.job import Download, DownloadStatus
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.hub_client import check_repo_id, check_revision

STALE_AFTER = timedelta(seconds=10)
"""A rate older than this says nothing: whoever measured it is gone or waits."""

_RESTARTABLE = (DownloadStatus.FAILED, DownloadStatus.CANCELLED, DownloadStatus.EVICTED)


async def request_download(
    session: AsyncSession, repo_id: str, *, revision: str = "main", registers_model: bool = False
) -> Download:
    """The one row for this repository and revision, new, under way, ready, or queued again after it had ended.

    With `registers_model` it also becomes a registered model, at once when it is ready. Raises InvalidInputError.
    """
    check_repo_id(repo_id)
    check_revision(revision)
    await session.exec(_insert_once(session, repo_id, revision))
    query = select(Download).where(Download.repo_id == repo_id, Download.revision == revision)
    download = (await session.exec(query)).one()
    await _requeue(session, download)
    if registers_model:
        await _change(session, download.id, values={"registers_model": True})
    await session.refresh(download)
    if download.status == DownloadStatus.READY:
        await register_model(session, download)
    return download


def _insert_once(session: AsyncSession, repo_id: str, revision: str) -> Any:
    """Two clients that ask at the same moment get one row."""
    row = Download(repo_id=repo_id, revision=revision).model_dump()
    insert = insert_postgresql if session.get_bind().dialect.name == "postgresql" else insert_sqlite
    return insert(Download).values(**row).on_conflict_do_nothing(index_elements=["repo_id", "revision"])


async def _requeue(session: AsyncSession, download: Download) -> None:
    """Start an ended download again. What a failed one has fetched is continued; the others begin with a new look at the hub."""
    keeps_plan = download.status == DownloadStatus.FAILED and download.error_code != NotFoundError.code
    fresh: dict[str, Any] = {} if keeps_plan else {"commit": None, "files": [], "num_bytes_done": 0, "num_bytes_total": 0}
    values = fresh | {
        "status": DownloadStatus.QUEUED,
        "requested": "run",
        "error_code": None,
        "error_message": None,
        "completed_at": None,
    }
    await _change(session, download.id, *_RESTARTABLE, values=values)


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
    if download.status == DownloadStatus.FAILED:
        await _requeue(session, download)
        return await read_download(session, download_id)
    is_done = await _change(
        session, download_id, DownloadStatus.PAUSED, values={"status": DownloadStatus.QUEUED, "requested": "run"}
    ) or await _change(session, download_id, DownloadStatus.QUEUED, DownloadStatus.RUNNING, values={"requested": "run"})
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


def remaining_seconds(download: Download) -> float | None:
    """Time that a running download still needs at its present rate; None when there is no such rate."""
    is_fresh = download.progress_at is not None and utc_now() - download.progress_at < STALE_AFTER
    if download.status != DownloadStatus.RUNNING or not is_fresh or not download.bytes_per_second:
        return None
    return (download.num_bytes_total - download.num_bytes_done) / download.bytes_per_second
