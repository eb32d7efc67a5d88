"""Stored datasets: find, list, check, delete."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.file_digest import digest_file
from mlx_hub.errors import NotFoundError
from mlx_hub.models.base import Page, PageRequest
from mlx_hub.models.dataset import Dataset, DatasetPublic
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_dependents import check_unused
from mlx_hub.services.dataset_store import run_heavy, staged
from mlx_hub.services.events import publish


@dataclass(frozen=True, slots=True)
class Verification:
    """What a dataset's file is now, beside what it was when it was stored; None for a file that is gone."""

    expected_sha256: str
    sha256: str | None
    num_bytes: int | None

    @property
    def is_intact(self) -> bool:
        return self.sha256 == self.expected_sha256


async def get_row(session: AsyncSession, dataset_id: UUID, *, is_locked: bool = False) -> Dataset:
    """The row, locked until the transaction ends when asked for. Raises NotFoundError."""
    row = await session.get(Dataset, dataset_id, with_for_update=is_locked)
    if row is None:
        raise NotFoundError(f"There is no dataset with the id {dataset_id}.")
    return row


async def read_row(context: DatasetContext, dataset_id: UUID) -> Dataset:
    """The row, read in a transaction of its own. Raises NotFoundError."""
    async with context.readers.begin() as session:
        row = await get_row(session, dataset_id)
        session.expunge(row)
        return row


async def list_datasets(session: AsyncSession, page: PageRequest, *, query: str | None) -> Page[DatasetPublic]:
    """The newest first; `query` is looked for in the names."""
    conditions = [col(Dataset.name).icontains(query, autoescape=True)] if query else []
    total = (await session.exec(select(func.count()).select_from(Dataset).where(*conditions))).one()
    order = (col(Dataset.created_at).desc(), col(Dataset.id))
    statement = select(Dataset).where(*conditions).order_by(*order).offset(page.offset).limit(page.size)
    rows = (await session.exec(statement)).all()
    return Page(items=[DatasetPublic.from_row(row) for row in rows], total=total, page=page.number, page_size=page.size)


async def delete_dataset(context: DatasetContext, dataset_id: UUID) -> None:
    """Row and files. Raises NotFoundError, and InUseError while queued or running work needs it."""
    async with staged(context, dataset_id), context.sessions.begin() as session:
        row = await get_row(session, dataset_id, is_locked=True)
        await check_unused(session, row)
        await session.delete(row)
        await session.flush()
        await publish(session, "dataset", dataset_id, {"id": str(dataset_id), "name": row.name, "is_deleted": True})


async def verify_dataset(context: DatasetContext, dataset_id: UUID) -> Verification:
    """Reads the whole file. Raises NotFoundError."""
    row = await read_row(context, dataset_id)
    if not await asyncio.to_thread(Path(row.path).is_file):
        return Verification(row.sha256, None, None)
    found = await run_heavy(context, digest_file, row.path)
    return Verification(row.sha256, found.sha256, found.num_bytes)
