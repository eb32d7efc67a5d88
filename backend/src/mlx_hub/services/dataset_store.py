"""Staged rows become a dataset: scanned, named, published with its row, or not at all."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.dataset_scan import ScanReport, scan_dataset
from mlx_hub.core.file_digest import digest_file
from mlx_hub.errors import ConflictError
from mlx_hub.models.dataset import Dataset, DatasetPublic, DatasetSource
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_folder import INDEX, PROBLEMS, ROWS
from mlx_hub.services.events import publish
from mlx_hub.services.idempotency import KeyedRequest, answer_once

T = TypeVar("T")

MAX_HEAVY_SECONDS = 1800.0
"""For a pass over the largest file on a slow machine."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewDataset:
    """Rows that are staged under `id`, and what is to be said of them."""

    id: UUID
    name: str
    description: str
    source: DatasetSource


async def run_heavy(context: DatasetContext, function: Callable[..., T], *arguments: object) -> T:
    """A pass over a whole file, in a process of its own."""
    return await context.core.run(function, *arguments, timeout_seconds=MAX_HEAVY_SECONDS)


async def scan_staged(context: DatasetContext, new: NewDataset) -> Dataset:
    """The row for what is staged, not yet stored. Raises TrainingError when no row is usable or there are too many."""
    rows, index, problems = (str(context.folder.staged(new.id, kind)) for kind in (ROWS, INDEX, PROBLEMS))
    report: ScanReport = await run_heavy(context, scan_dataset, rows, index, problems, context.settings.max_rows)
    digest = await run_heavy(context, digest_file, rows)
    told = {
        "num_usable_rows": report.num_usable_rows,
        "num_duplicates": report.num_duplicates,
        "format_counts": report.format_counts,
        "problem_counts": report.problem_counts,
        "source": new.source.model_dump(mode="json", exclude_none=True),
    }
    return Dataset(
        id=new.id,
        name=new.name,
        description=new.description,
        format=report.format,
        path=str(context.folder.file(new.id)),
        sha256=digest.sha256,
        num_rows=report.num_rows,
        num_bytes=digest.num_bytes,
        report=told,
    )


async def scan_and_store(
    context: DatasetContext,
    new: NewDataset,
    request: KeyedRequest | None,
    *,
    choose_name: Callable[[AsyncSession], Awaitable[str]] | None = None,
) -> DatasetPublic:
    """The stored dataset, or the one that the same request made before. With `choose_name` it has the name that this gives.

    Raises TrainingError when no row is usable or there are too many, ConflictError for a name that is taken.
    """
    if request is None and choose_name is None:
        await _refuse_taken_name(context, new.name)
    row = await scan_staged(context, new)

    async def work(session: AsyncSession) -> DatasetPublic:
        if choose_name is not None:
            row.name = await choose_name(session)
        return await add_dataset(session, context, row)

    async with context.sessions.begin() as session:
        return await answer_once(session, request, DatasetPublic, lambda: work(session))


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Waits for work in a thread also when cancelled, since nothing ends it: it must not go on behind the caller's back."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


async def _refuse_taken_name(context: DatasetContext, name: str) -> None:
    """Before the long scan and not after it; whoever takes the name meanwhile is found at the end."""
    async with context.readers.begin() as session:
        if (await session.exec(select(Dataset.id).where(col(Dataset.name) == name))).first() is not None:
            raise _name_taken(name)


def _name_taken(name: str) -> ConflictError:
    return ConflictError(f"There is a dataset named {name!r} already; choose another name.", field="name")


async def add_dataset(session: AsyncSession, context: DatasetContext, row: Dataset) -> DatasetPublic:
    """Stores the row and publishes its files, which `staged` takes back when the transaction fails. Raises ConflictError."""
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise _name_taken(row.name) from error
    await to_its_end(asyncio.to_thread(context.folder.publish, row.id))
    public = DatasetPublic.from_row(row)
    await publish(session, "dataset", row.id, public.model_dump(mode="json"))
    return public


@asynccontextmanager
async def staged(context: DatasetContext, dataset_id: UUID) -> AsyncGenerator[None]:
    """Inside the block the dataset's files come or go; at its end they exist if its row does, whatever happened."""
    lock = await asyncio.to_thread(context.folder.open_staging, dataset_id)
    try:
        yield
    finally:
        if await settle(context, dataset_id):
            await asyncio.to_thread(context.folder.close_staging, dataset_id, lock)
        else:
            os.close(lock)


async def settle(context: DatasetContext, dataset_id: UUID) -> bool:
    """Deletes the files of a dataset that has no row. False when the database does not say: a later sweep will ask again."""
    try:
        async with context.readers.begin() as session:
            is_known = await session.get(Dataset, dataset_id) is not None
    except (SQLAlchemyError, OSError) as error:
        log.warning("dataset_unsettled", dataset_id=str(dataset_id), reason=type(error).__name__)
        return False
    if not is_known:
        await asyncio.to_thread(context.folder.remove, dataset_id)
    return True


async def sweep(context: DatasetContext) -> int:
    """Settles what crashed uploads and deletions have left, and says how many there were."""
    abandoned = context.folder.abandoned()
    found = await asyncio.to_thread(abandoned.__enter__)
    try:
        for dataset_id in found:
            if await settle(context, dataset_id):
                await asyncio.to_thread(context.folder.remove_staging, dataset_id)
    finally:
        await asyncio.to_thread(abandoned.__exit__, None, None, None)
    if found:
        log.info("datasets_swept", num_left=len(found))
    return len(found)
