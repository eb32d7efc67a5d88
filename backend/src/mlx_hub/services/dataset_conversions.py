"""Datasets made from others: in another format, or without the rows that repeat; and what tells whether that is worth it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from uuid import UUID, uuid4

from mlx_hub.core.data_prep import Problem
from mlx_hub.core.dataset_convert import ConvertReport, ConvertRequest, TargetFormat, convert_dataset
from mlx_hub.core.dataset_duplicates import DistinctRequest, DuplicateReport, Match, find_duplicates, write_distinct
from mlx_hub.core.dataset_lengths import DatasetLengths, measure_lengths
from mlx_hub.errors import InvalidInputError
from mlx_hub.models.dataset import Dataset, DatasetPublic
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_edits import store_made
from mlx_hub.services.dataset_folder import ROWS
from mlx_hub.services.dataset_store import run_heavy, staged
from mlx_hub.services.datasets import read_row
from mlx_hub.services.idempotency import KeyedRequest
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
    return await cache.answer((row.sha256, match), lambda: run_heavy(context, find_duplicates, row.path, match))


async def lengths(context: DatasetContext, row: Dataset) -> DatasetLengths:
    """The same question again is answered from the cache."""
    cache = ResultCache(context.folder.cache, DatasetLengths)
    return await cache.answer((row.sha256,), lambda: run_heavy(context, measure_lengths, row.path))


async def deduplicate(
    context: DatasetContext, dataset_id: UUID, match: Match, *, name: str | None, request: KeyedRequest | None
) -> DatasetPublic:
    """The first of equal rows stays. Raises NotFoundError, ConflictError for a taken name."""
    old, new_id = await read_row(context, dataset_id), uuid4()
    async with staged(context, new_id):
        await asyncio.to_thread(context.folder.check_room, old.num_bytes)
        destination = str(context.folder.staged(new_id, ROWS))
        await run_heavy(context, write_distinct, DistinctRequest(rows_path=old.path, destination=destination, match=match))
        return await store_made(context, old, new_id, "deduplicate", name=name, endings=_endings("unique"), request=request)


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
        dataset = await store_made(context, old, new_id, "convert", name=name, endings=_endings(target), request=request)
    return Converted(dataset, report.num_converted_rows, report.num_left_out_rows, report.problems)


def _endings(word: str) -> Iterator[str]:
    return chain([word], (f"{word}-{number}" for number in count(2)))


def _refusal(report: ConvertReport, target: TargetFormat) -> str:
    counts = ", ".join(f"{count} {code}" for code, count in sorted(report.problem_counts.items()))
    named = " ".join(f"Line {found.line}: {found.message}" for found in report.problems[:_NAMED_PROBLEMS])
    return f"{report.num_left_out_rows} rows cannot be written as {target} without loss ({counts}). {named}"
