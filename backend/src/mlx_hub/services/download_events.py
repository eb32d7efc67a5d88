"""A download as clients see it, and the event that tells them of a change."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, DownloadStatus
from mlx_hub.services import events

STALE_AFTER = timedelta(seconds=10)
"""A rate older than this says nothing: whoever measured it is gone or waits."""

log = structlog.get_logger(__name__)


class DownloadPublic(BaseModel):
    """A download; `id` is that of the job. Sizes are in bytes."""

    id: UUID
    repo_id: str
    revision: str
    commit: str | None = Field(description="What the revision was when the download started.")
    status: DownloadStatus
    requested: str = Field(description="What a running download will do next: run, pause or cancel.")
    num_bytes_total: int = Field(description="0 until the hub has said it.")
    num_bytes_done: int
    bytes_per_second: int
    remaining_seconds: float | None = Field(description="At the present rate; null when there is none.")
    num_files: int
    path: str | None = Field(description="Folder of the model when it is ready.")
    details: dict[str, Any] = Field(description="Architecture, quantisation and size of a ready model.")
    is_pinned: bool = Field(description="Never evicted to make room for another.")
    model_id: UUID | None = Field(description="The registered model that it has become.")
    machine_id: str | None = Field(description="The worker that has it, or had it last.")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def from_row(cls, row: Download) -> "DownloadPublic":
        values = row.model_dump(include=set(cls.model_fields))
        return cls(**values, remaining_seconds=remaining_seconds(row), num_files=len(row.files))


def remaining_seconds(download: Download) -> float | None:
    """Time that a running download still needs at its present rate; None when there is no such rate."""
    is_fresh = download.progress_at is not None and utc_now() - download.progress_at < STALE_AFTER
    if download.status != DownloadStatus.RUNNING or not is_fresh or not download.bytes_per_second:
        return None
    return (download.num_bytes_total - download.num_bytes_done) / download.bytes_per_second


async def publish_download(session: AsyncSession, row: Download) -> None:
    """Call it last in the transaction, as `events.publish`. A download goes on without the event when that fails."""
    await session.flush()
    try:
        async with session.begin_nested():
            await events.publish(session, "download", row.id, DownloadPublic.from_row(row).model_dump(mode="json"))
    except SQLAlchemyError as error:
        log.warning("event_not_published", download_id=str(row.id), reason=type(error).__name__)
