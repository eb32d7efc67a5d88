"""Datasets and their files agree whenever a step fails or the process dies, on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from mlx_hub.config import Settings
from mlx_hub.db import async_url, create_engine, create_sessions
from mlx_hub.errors import ConflictError
from mlx_hub.models.dataset import Dataset, DatasetPublic, DatasetSource
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_folder import INDEX, PROBLEMS, ROWS
from mlx_hub.services.dataset_store import NewDataset, scan_and_store, staged, sweep
from sqlmodel import select

T = TypeVar("T")

pytestmark = pytest.mark.anyio


async def with_context(tmp_path: Path, database_url: str, work: Callable[[DatasetContext], Awaitable[T]]) -> T:
    engine, core = create_engine(async_url(database_url)), CoreProcesses()
    try:
        settings = Settings(data_dir=tmp_path, model_cache_dir=tmp_path / "cache")
        return await work(DatasetContext(settings, create_sessions(engine), create_sessions(engine, is_read_only=True), core))
    finally:
        await core.close()
        await engine.dispose()


def files(context: DatasetContext) -> set[str]:
    return {path.name for path in context.folder.root.rglob("*") if path.is_file()}


async def store(context: DatasetContext, name: str) -> DatasetPublic:
    dataset_id = uuid4()
    async with staged(context, dataset_id):
        context.folder.staged(dataset_id, ROWS).write_bytes(b'{"text": "a"}\n')
        return await scan_and_store(context, NewDataset(dataset_id, name, "", DatasetSource(kind="jsonl")), None)


async def test_a_taken_name_leaves_only_the_first(tmp_path: Path, migrated_url: str) -> None:
    async def work(context: DatasetContext) -> None:
        first = await store(context, "rows")
        before = files(context)
        with pytest.raises(ConflictError):
            await store(context, "rows")

        assert files(context) == before
        assert all(str(first.id) in name for name in before)

    await with_context(tmp_path, migrated_url, work)


async def test_cancelling_at_any_moment_leaves_a_dataset_or_nothing(tmp_path: Path, migrated_url: str) -> None:
    async def work(context: DatasetContext) -> None:
        await store(context, "first")
        for milliseconds in (0, 2, 5, 10, 20, 30, 40, 60, 80, 100):
            running = asyncio.create_task(store(context, f"rows {milliseconds}"))
            await asyncio.sleep(milliseconds / 1000)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

            async with context.readers.begin() as session:
                rows = (await session.exec(select(Dataset.id))).all()
            assert files(context) == {context.folder.file(row, kind).name for row in rows for kind in (ROWS, INDEX, PROBLEMS)}

    await with_context(tmp_path, migrated_url, work)


async def test_a_sweep_takes_what_has_no_row_and_leaves_what_has_one(tmp_path: Path, migrated_url: str) -> None:
    async def work(context: DatasetContext) -> None:
        kept = await store(context, "kept")
        lost = uuid4()
        for dataset_id in (kept.id, lost):
            context.folder.staged(dataset_id, ROWS).parent.mkdir(parents=True)
        context.folder.file(lost).write_bytes(b"{}\n")

        assert await sweep(context) == 2
        assert await sweep(context) == 0
        assert {name.partition(".")[0] for name in files(context)} == {str(kept.id)}

    await with_context(tmp_path, migrated_url, work)


async def test_nothing_is_deleted_while_the_database_does_not_answer(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async def work(context: DatasetContext) -> None:
        dataset_id = uuid4()
        context.folder.staged(dataset_id, ROWS).parent.mkdir(parents=True)
        context.folder.file(dataset_id).write_bytes(b"{}\n")
        engine = create_engine(async_url("postgresql://nobody@127.0.0.1:1/none"))
        away = DatasetContext(context.settings, create_sessions(engine), create_sessions(engine), context.core)

        await sweep(away)
        await engine.dispose()

        assert context.folder.file(dataset_id).exists()
        assert await sweep(context) == 1
        assert not context.folder.file(dataset_id).exists()

    await with_context(tmp_path, migrated_sqlite_url, work)
