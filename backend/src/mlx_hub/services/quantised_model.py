"""A quantised model from its source to the model cache: what the tool is told, and what the registry says of the result."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.model_card import Lineage
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.run_files import read_exit
from mlx_hub.core.tool_files import QuantiseSpec
from mlx_hub.errors import WrongStateError
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Task
from mlx_hub.services.local_model import LocalModel, Origin
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.registry import get_row
from mlx_hub.services.worker_context import WorkerContext

_SCALE_BITS = 64
"""Of a group's scale and bias, at most."""
_SMALLEST_GROUP = 32


class QuantisedModel:
    """Belongs to one attempt at its task."""

    def __init__(self, context: WorkerContext, task: Task, job_dir: Path) -> None:
        self.local = LocalModel(context, task)
        self._context = context
        self._task = task
        self._job_dir = job_dir

    @asynccontextmanager
    async def prepared(self) -> AsyncGenerator[QuantiseSpec]:
        """What to tell the tool, with the source protected and room made inside the block. Raises HubError."""
        arguments = self._task.arguments
        async with self._context.readers.begin() as session:
            source = await get_row(session, self._task.subject_id)
            dataset_file = await _dataset_file(session, arguments["dataset_id"])
        async with leased_snapshot(self._context.sessions, self._context.folder, source) as (snapshot, commit):
            if await asyncio.to_thread(read_exit, self._job_dir) is None:
                await self.local.make_room(await asyncio.to_thread(_largest_size, snapshot, arguments["bits"]))
            yield QuantiseSpec(
                model_path=str(snapshot),
                output_path=str(self.local.output),
                bits=arguments["bits"],
                group_size=arguments["group_size"],
                dataset_file=dataset_file,
                lineage=Lineage(
                    name=self.local.name,
                    base_model=source.base_model,
                    base_commit=commit,
                    created_at=self._task.created_at.isoformat(),
                ),
            )

    async def origin(self, session: AsyncSession, result: dict[str, Any]) -> Origin:
        source = await get_row(session, self._task.subject_id)
        tags = {"quantised_from": source.name, "bits": str(result["bits"]), "group_size": str(result["group_size"])}
        return Origin(f"{source.name} in {result['bits']} bits.", tags, source.task_type)


def _largest_size(snapshot: Path, bits: int) -> int:
    """At most what the result can take: the source's size when most of it is not matrices."""
    files = read_model_files(snapshot)
    bits_per_weight = bits + _SCALE_BITS / _SMALLEST_GROUP
    matrices = sum(tensor.num_values for tensor in files.tensors.values() if len(tensor.shape) > 1)
    others = sum(tensor.num_bytes for tensor in files.tensors.values() if len(tensor.shape) <= 1)
    return min(files.weights_bytes, int(matrices * bits_per_weight / 8) + others)


async def _dataset_file(session: AsyncSession, dataset_id: str | None) -> str | None:
    if dataset_id is None:
        return None
    dataset = await session.get(Dataset, UUID(dataset_id))
    if dataset is None:
        raise WrongStateError("The dataset was deleted in the meantime.")
    return dataset.path
