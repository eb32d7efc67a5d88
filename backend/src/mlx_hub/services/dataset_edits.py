"""A dataset with some rows changed: a new dataset, as stored rows never change. It may take the place of the old one."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from uuid import UUID, uuid4

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.dataset_edit import EditRequest, RowEdit, edit_dataset
from mlx_hub.errors import InUseError
from mlx_hub.models.dataset import Dataset, DatasetPublic, DatasetSource
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_dependents import CANCEL_OR_WAIT, check_unblocked, find_dependents
from mlx_hub.services.dataset_folder import ROWS
from mlx_hub.services.dataset_store import NewDataset, add_dataset, run_heavy, scan_and_store, scan_staged, staged
from mlx_hub.services.datasets import get_row, read_row
from mlx_hub.services.events import publish
from mlx_hub.services.idempotency import KeyedRequest, answer_once

_MAX_STEM = 180
"""Characters of the old name in a new one, which may have 200."""


async def edit(
    context: DatasetContext, dataset_id: UUID, edits: Sequence[RowEdit], *, name: str | None, request: KeyedRequest | None
) -> DatasetPublic:
    """The new dataset. Raises NotFoundError, TrainingError for a row that is not there, ConflictError for a taken name."""
    old, new_id = await read_row(context, dataset_id), uuid4()
    async with staged(context, new_id):
        await _write(context, old, new_id, edits)
        endings = (f"v{number}" for number in count(2))
        return await store_made(context, old, new_id, "edit", name=name, endings=endings, request=request)


async def edit_in_place(
    context: DatasetContext, dataset_id: UUID, edits: Sequence[RowEdit], *, name: str | None, request: KeyedRequest | None
) -> DatasetPublic:
    """The new dataset, under the old one's name unless it gets another; the old one goes in the same transaction.

    Raises what `edit` raises, and InUseError when anything was trained on the old one, or work on it goes on.
    """
    async with context.readers.begin() as session:
        old = await get_row(session, dataset_id)
        await _check_untouched(session, old)
        session.expunge(old)
    new_id = uuid4()
    async with staged(context, old.id), staged(context, new_id):
        await _write(context, old, new_id, edits)
        row = await scan_staged(context, _made(old, new_id, "edit", name or old.name))

        async def work() -> DatasetPublic:
            current = await get_row(session, dataset_id, is_locked=True)
            await _check_untouched(session, current)
            await session.delete(current)
            await session.flush()
            public = await add_dataset(session, context, row)
            await publish(session, "dataset", dataset_id, {"id": str(dataset_id), "name": old.name, "is_deleted": True})
            return public

        async with context.sessions.begin() as session:
            return await answer_once(session, request, DatasetPublic, work)


async def store_made(
    context: DatasetContext,
    old: Dataset,
    new_id: UUID,
    kind: str,
    *,
    name: str | None,
    endings: Iterable[str],
    request: KeyedRequest | None,
) -> DatasetPublic:
    """Stores the staged rows that were made of `old`. Without a name it is the first free one of NAME-ENDING."""
    choose_name = None if name else partial(_free_name, name=old.name, endings=endings)
    return await scan_and_store(context, _made(old, new_id, kind, name or old.name), request, choose_name=choose_name)


def _made(old: Dataset, new_id: UUID, kind: str, name: str) -> NewDataset:
    return NewDataset(new_id, name, old.description, DatasetSource(kind=kind, dataset_id=old.id))


async def _write(context: DatasetContext, old: Dataset, new_id: UUID, edits: Sequence[RowEdit]) -> None:
    await asyncio.to_thread(context.folder.check_room, old.num_bytes + sum(len(edit.line) for edit in edits))
    order = EditRequest(rows_path=old.path, destination=str(context.folder.staged(new_id, ROWS)), edits=list(edits))
    await run_heavy(context, edit_dataset, order)


async def _free_name(session: AsyncSession, name: str, endings: Iterable[str]) -> str:
    """The first of NAME-ENDING, with endings in their order, that nobody has."""
    stem = name[:_MAX_STEM].rstrip()
    names = await session.exec(select(Dataset.name).where(col(Dataset.name).startswith(stem, autoescape=True)))
    taken = set(names.all())
    return next(found for ending in endings if (found := f"{stem}-{ending}") not in taken)


async def _check_untouched(session: AsyncSession, row: Dataset) -> None:
    found = await find_dependents(session, row)
    if found.jobs or found.versions:
        raise InUseError(f"{row.name!r} was trained on, so it stays as it is: let the edit make a new dataset beside it.")
    check_unblocked(row.name, found.blockers, advice=CANCEL_OR_WAIT)
