"""Datasets made from others: in another format, or without the rows that repeat; and what tells whether that is worth it."""

import asyncio
from dataclasses import dataclass
from itertools import chain, count
from uuid import UUID, uuid4

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.data_prep import Problem
from mlx_hub.core.dataset_convert import ConvertReport, ConvertRequest, TargetFormat, convert_dataset
from mlx_hub.core.dataset_duplicates import DistinctRequest, DuplicateReport, Match, find_duplicates, write_distinct
from mlx_hub.core.dataset_lengths import DatasetLengths, measure_lengths
from mlx_hub.errors import InvalidInputError
from mlx_hub.models.dataset import Dataset, DatasetPublic, DatasetSource
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_edits import free_name
from mlx_hub.services.dataset_folder import ROWS
from mlx_hub.services.dataset_store import NewDataset, add_dataset, run_heavy, scan_staged, staged
from mlx_hub.services.datasets import read_row
from mlx_hub.services.idempotency import KeyedRequest, answer_once
from mlx_hub.services.result_cache import ResultCache

_NAMED_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Converted:
    dataset: DatasetPublic
    num_converted_rows: int
    num_left_out_rows: int
    problems: list[Problem]


async def duplicates(context: DatasetContext, dataset_id: UUID, match: Match) -> DuplicateReport:
    """The same question again is answered from the cache. Raises NotFoundError."""
    row = await read_row(context, dataset_id)
    cache = ResultCache(context.folder.cache, DuplicateReport)
    if (known := await asyncio.to_thread(cache.read, (row.sha256, match))) is not None:
        return known
    found = await run_heavy(context, find_duplicates, row.path, match)
    await asyncio.to_thread(cache.write, (row.sha256, match), found)
    return found


async def lengths(context: DatasetContext, dataset_id: UUID) -> DatasetLengths:
    """The same question again is answered from the cache. Raises NotFoundError."""
    row = await read_row(context, dataset_id)
    cache = ResultCache(context.folder.cache, DatasetLengths)
    if (known := await asyncio.to_thread(cache.read, (row.sha256,))) is not None:
        return known
    found = await run_heavy(context, measure_lengths, row.path)
    await asyncio.to_thread(cache.write, (row.sha256,), found)
    return found


async def deduplicate(
    context: DatasetContext, dataset_id: UUID, match: Match, *, name: str | None, request: KeyedRequest | None
) -> DatasetPublic:
    """The first of equal rows stays. Raises NotFoundError, ConflictError for a taken name."""
    old, new_id = await read_row(context, dataset_id), uuid4()
    async with staged(context, new_id):
        await asyncio.to_thread(context.folder.check_room, old.num_bytes)
        destination = str(context.folder.staged(new_id, ROWS))
        await run_heavy(context, write_distinct, DistinctRequest(rows_path=old.path, destination=destination, match=match))
        return await _store(context, old, new_id, "deduplicate", name=name, suffix="unique", request=request)


async def convert(
    context: DatasetContext,
    dataset_id: UUID,
    target: TargetFormat,
    *,
    skips_problems: bool,
    name: str | None,
    request: KeyedRequest | None,
) -> Converted:
    """Raises NotFoundError, ConflictError, and InvalidInputError for rows that would lose something, unless they are skipped."""
    old, new_id = await read_row(context, dataset_id), uuid4()
    async with staged(context, new_id):
        await asyncio.to_thread(context.folder.check_room, 2 * old.num_bytes)
        destination = str(context.folder.staged(new_id, ROWS))
        order = ConvertRequest(rows_path=old.path, destination=destination, format=target)
        report = await run_heavy(context, convert_dataset, order)
        if report.num_left_out_rows and (not skips_problems or not report.num_converted_rows):
            raise InvalidInputError(_refusal(report, target), field="format")
        dataset = await _store(context, old, new_id, "convert", name=name, suffix=target, request=request)
    return Converted(dataset, report.num_converted_rows, report.num_left_out_rows, report.problems)


async def _store(
    context: DatasetContext,
    old: Dataset,
    new_id: UUID,
    kind: str,
    *,
    name: str | None,
    suffix: str,
    request: KeyedRequest | None,
) -> DatasetPublic:
    row = await scan_staged(context, NewDataset(new_id, name or "", old.description, DatasetSource(kind=kind, dataset_id=old.id)))

    async def work(session: AsyncSession) -> DatasetPublic:
        endings = chain([suffix], (f"{suffix}-{number}" for number in count(2)))
        row.name = name or await free_name(session, old.name, endings)
        return await add_dataset(session, context, row)

    async with context.sessions.begin() as session:
        return await answer_once(session, request, DatasetPublic, lambda: work(session))


def _refusal(report: ConvertReport, target: TargetFormat) -> str:
    counts = ", ".join(f"{count} {code}" for code, count in sorted(report.problem_counts.items()))
    named = " ".join(f"Line {found.line}: {found.message}" for found in report.problems[:_NAMED_PROBLEMS])
    return f"{report.num_left_out_rows} rows cannot be written as {target} without loss ({counts}). {named}"
