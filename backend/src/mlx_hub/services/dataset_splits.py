"""A dataset split into two new ones; done again it gives the same two."""

import asyncio
from uuid import UUID, uuid4

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.dataset_split import SplitRequest, split_dataset
from mlx_hub.models.dataset import Dataset, DatasetPublic, DatasetSource, DatasetSplit, DatasetSplitCreate
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_folder import ROWS
from mlx_hub.services.dataset_store import NewDataset, add_dataset, run_heavy, scan_staged, staged
from mlx_hub.services.datasets import read_row
from mlx_hub.services.idempotency import KeyedRequest, answer_once

_MAX_NAME = 200


async def split(
    context: DatasetContext, dataset_id: UUID, body: DatasetSplitCreate, request: KeyedRequest | None
) -> DatasetSplit:
    """Raises NotFoundError, TrainingError when a part would be empty, ConflictError when a name is taken by other rows."""
    whole = await read_row(context, dataset_id)
    train_id, validation_id = uuid4(), uuid4()
    async with staged(context, train_id), staged(context, validation_id):
        await asyncio.to_thread(context.folder.check_room, 2 * whole.num_bytes)
        order = SplitRequest(
            rows_path=whole.path,
            validation_share=body.validation_share,
            seed=body.seed,
            train_path=str(context.folder.staged(train_id, ROWS)),
            validation_path=str(context.folder.staged(validation_id, ROWS)),
        )
        await run_heavy(context, split_dataset, order)
        train = await scan_staged(context, _part(whole, body, train_id, body.train_name or part_name(whole.name, "train")))
        validation_name = body.validation_name or part_name(whole.name, "validation")
        validation = await scan_staged(context, _part(whole, body, validation_id, validation_name))

        async def work() -> DatasetSplit:
            return DatasetSplit(
                train=await _add_or_find(session, context, train), validation=await _add_or_find(session, context, validation)
            )

        async with context.sessions.begin() as session:
            return await answer_once(session, request, DatasetSplit, work)


def part_name(name: str, part: str) -> str:
    return f"{name[: _MAX_NAME - len(part) - 1].rstrip()}-{part}"


def _part(whole: Dataset, body: DatasetSplitCreate, dataset_id: UUID, name: str) -> NewDataset:
    source = DatasetSource(kind="split", dataset_id=whole.id, validation_share=body.validation_share, seed=body.seed)
    return NewDataset(dataset_id, name, whole.description, source)


async def _add_or_find(session: AsyncSession, context: DatasetContext, part: Dataset) -> DatasetPublic:
    """The dataset of that name when it holds the very same rows."""
    statement = select(Dataset).where(col(Dataset.name) == part.name, col(Dataset.sha256) == part.sha256)
    known = (await session.exec(statement)).one_or_none()
    return DatasetPublic.from_row(known) if known else await add_dataset(session, context, part)
