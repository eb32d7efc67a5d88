"""What people see of a stored dataset: its rows as they stand, its problems, and what a model makes of it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import orjson

from mlx_hub.core.data_prep import Problem, row_or_problem
from mlx_hub.core.dataset_inspection import Inspection, InspectionRequest, inspect_dataset
from mlx_hub.core.dataset_preview import PreviewRequest, RowPreview, preview_rows
from mlx_hub.core.row_index import RawRow, read_raw_rows
from mlx_hub.core.run_config import TrainingError
from mlx_hub.errors import NotFoundError
from mlx_hub.models.base import Page, PageRequest
from mlx_hub.models.dataset import Dataset
from mlx_hub.services import registry
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_folder import INDEX, PROBLEMS
from mlx_hub.services.datasets import read_row
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.result_cache import ResultCache

PREVIEW_SECONDS = 60.0
INSPECTION_SECONDS = 60.0
"""For reading rows; a larger dataset is sampled."""
_SHUTDOWN_SECONDS = 60.0
"""For imports before and sums after that, on a busy machine."""
MAX_SHOWN_BYTES = 64 * 1024
"""A longer row is shown by its beginning."""
_UNSHOWABLE = frozenset({"too_deep"})
"""Problems of rows that cannot be written into an answer."""
_TEMPLATE_FILES = ("*.json", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row of the file; `row` is None when it cannot be read or is too long to be shown, and `start` its first bytes."""

    raw: RawRow
    row: dict[str, Any] | None
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Preview:
    """`num_rows` is of the whole dataset."""

    num_rows: int
    rows: list[RowPreview]


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How a training run would look at the rows."""

    model_id: UUID
    max_seq_length: int
    mask_prompt: bool
    batch_size: int = 4


async def list_rows(context: DatasetContext, dataset_id: UUID, page: PageRequest) -> Page[ShownRow]:
    """In the order of the file. Raises NotFoundError, also when a file is gone."""
    row = await read_row(context, dataset_id)
    items = await asyncio.to_thread(_read_page, context, row, page)
    return Page(items=items, total=row.num_rows, page=page.number, page_size=page.size)


def _read_page(context: DatasetContext, row: Dataset, page: PageRequest) -> list[ShownRow]:
    index = context.folder.file(row.id, INDEX)
    problems = {problem.line: problem for problem in reversed(_read_problems(context, row.id))}
    try:
        raw_rows = read_raw_rows(Path(row.path), index, page.offset, page.size, max_bytes=MAX_SHOWN_BYTES)
        return [_shown(raw, problems.get(raw.line)) for raw in raw_rows]
    except TrainingError as error:
        raise NotFoundError(error.message) from error


def _shown(raw: RawRow, known: Problem | None) -> ShownRow:
    if raw.content is None:
        return ShownRow(raw, None, known)
    found = row_or_problem(raw.content, raw.line)
    problem = found if isinstance(found, Problem) else known
    return ShownRow(raw, _parsed(raw.content) if problem is None or problem.code not in _UNSHOWABLE else None, problem)


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


async def list_problems(context: DatasetContext, dataset_id: UUID, page: PageRequest) -> Page[Problem]:
    """Those that were kept, in the order of lines. Raises NotFoundError."""
    row = await read_row(context, dataset_id)
    problems = await asyncio.to_thread(_read_problems, context, row.id)
    items = problems[page.offset : page.offset + page.size]
    return Page(items=items, total=len(problems), page=page.number, page_size=page.size)


def _read_problems(context: DatasetContext, dataset_id: UUID) -> list[Problem]:
    try:
        return msgspec.json.decode(context.folder.file(dataset_id, PROBLEMS).read_bytes(), type=list[Problem])
    except OSError as error:
        raise NotFoundError("The dataset's files are gone from the data folder.") from error


async def preview(context: DatasetContext, dataset_id: UUID, settings: ViewSettings, *, first_row: int, num_rows: int) -> Preview:
    """Rows from number `first_row` (1 is the first) as the trainer will see them.

    Raises NotFoundError, WrongStateError when the model is not downloaded, InvalidInputError when it takes too long.
    """
    row = await read_row(context, dataset_id)
    async with _model_folder(context, settings.model_id) as model:
        request = PreviewRequest(
            rows_path=row.path,
            index_path=str(context.folder.file(row.id, INDEX)),
            model_path=str(model),
            max_seq_length=settings.max_seq_length,
            mask_prompt=settings.mask_prompt,
            first_row=first_row - 1,
            num_rows=num_rows,
        )
        return Preview(row.num_rows, await context.core.run(preview_rows, request, timeout_seconds=PREVIEW_SECONDS))


async def inspect(context: DatasetContext, dataset_id: UUID, settings: ViewSettings) -> Inspection:
    """The whole dataset with the model's eyes, or a sample of it; the same question again is answered from the cache.

    Raises as `preview` does.
    """
    row = await read_row(context, dataset_id)
    async with _model_folder(context, settings.model_id) as model:
        cache = ResultCache(context.folder.cache, Inspection)
        model_digest = await asyncio.to_thread(_digest_model, model)
        key = (row.sha256, model_digest, settings.max_seq_length, settings.mask_prompt, settings.batch_size)
        request = InspectionRequest(
            rows_path=row.path,
            index_path=str(context.folder.file(row.id, INDEX)),
            model_path=str(model),
            max_seq_length=settings.max_seq_length,
            mask_prompt=settings.mask_prompt,
            batch_size=settings.batch_size,
            max_seconds=INSPECTION_SECONDS,
        )
        seconds = INSPECTION_SECONDS + _SHUTDOWN_SECONDS
        return await cache.answer(key, lambda: context.core.run(inspect_dataset, request, timeout_seconds=seconds))


@asynccontextmanager
async def _model_folder(context: DatasetContext, model_id: UUID) -> AsyncGenerator[Path]:
    """The downloaded weights below a registered model, which stay inside the block."""
    async with context.readers.begin() as session:
        row = await registry.get_row(session, model_id)
        while row.base_model_id is not None:
            row = await registry.get_row(session, row.base_model_id)
        session.expunge(row)
    async with leased_snapshot(context.sessions, context.model_cache, row) as (folder, _):
        yield folder


def _digest_model(folder: Path) -> str:
    """Of the small files, which say everything about tokens: tokenizer, template, configuration."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _TEMPLATE_FILES for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
