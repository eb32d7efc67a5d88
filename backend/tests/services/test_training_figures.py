"""Figures of trainers are unknown while the database does not answer, and are there again when it does."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from mlx_hub.db import async_url, create_engine, create_sessions
from mlx_hub.services.training_figures import TrainingFigures

pytestmark = pytest.mark.anyio


async def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_database_that_is_away_leaves_the_figures_unknown(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = async_url("postgresql://nobody@127.0.0.1:1/away", data_dir=tmp_path_factory.getbasetemp())
    engine = create_engine(url)
    figures = TrainingFigures(create_sessions(engine, is_read_only=True), history=timedelta(minutes=15))
    task = asyncio.create_task(figures.follow())

    await asyncio.sleep(0)
    await wait_for(lambda: not task.done() and figures.has_failed)

    assert figures.reading is None
    assert figures.take_events() == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.dispose()


async def test_without_jobs_nothing_runs(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    engine = create_engine(async_url(migrated_url, data_dir=tmp_path_factory.getbasetemp()))
    figures = TrainingFigures(create_sessions(engine, is_read_only=True), history=timedelta(minutes=15))
    task = asyncio.create_task(figures.follow())

    await wait_for(lambda: figures.reading is not None)

    reading = figures.reading
    assert reading is not None
    assert (reading.running_jobs, reading.queued_jobs, reading.job_id, reading.train_loss) == (0, 0, None, None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.dispose()
