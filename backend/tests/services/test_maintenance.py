"""Chores delete what is old and nothing else."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fixtures.inference import InferenceStandIn
from fixtures.worker import Bench, open_bench
from mlx_hub.models.base import utc_now
from mlx_hub.models.idempotency import IdempotencyKey
from mlx_hub.models.job import Event, Task
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.maintenance import prune_events, prune_exports, prune_keys, served_models
from sqlmodel import col, select

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(tmp_path: Path, migrated_url: str) -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path, migrated_url) as opened:
        yield opened


async def _add(bench: Bench, *rows: Any) -> None:
    async with bench.context.sessions.begin() as session:
        for row in rows:
            session.add(row)
            await session.flush()


async def _subjects(bench: Bench) -> list[str]:
    async with bench.context.sessions.begin() as session:
        return list((await session.exec(select(Event.subject_id).order_by(col(Event.id)))).all())


async def test_old_events_go_and_the_oldest_of_too_many(bench: Bench) -> None:
    now = utc_now()
    ages = [30, 20, 3, 2, 1, 0]
    await _add(bench, *(Event(kind="job", subject_id=str(age), created_at=now - timedelta(hours=age)) for age in ages))

    assert await prune_events(bench.context.sessions) == 1
    assert await _subjects(bench) == ["20", "3", "2", "1", "0"]
    assert await prune_events(bench.context.sessions, max_events=3) == 2
    assert await _subjects(bench) == ["2", "1", "0"]


async def test_the_newest_event_stays_so_that_ids_only_grow(bench: Bench) -> None:
    await _add(bench, Event(kind="job", subject_id="old", created_at=utc_now() - timedelta(days=9)))

    assert await prune_events(bench.context.sessions) == 0
    assert await _subjects(bench) == ["old"]


async def test_keys_go_after_a_day(bench: Bench) -> None:
    now = utc_now()
    ages = {"old": timedelta(hours=25), "young": timedelta(hours=23)}
    await _add(bench, *(IdempotencyKey(key=key, scope="s", fingerprint="f", created_at=now - age) for key, age in ages.items()))

    assert await prune_keys(bench.context.sessions) == 1

    async with bench.context.sessions.begin() as session:
        assert (await session.exec(select(IdempotencyKey.key))).all() == ["young"]


async def test_files_of_old_exports_go(bench: Bench, tmp_path: Path) -> None:
    now = utc_now()
    ended = {"old": timedelta(days=8), "young": timedelta(days=6)}
    tasks = {
        name: Task(store_id="s", kind="export", subject_id=uuid4(), status="completed", completed_at=now - age)
        for name, age in ended.items()
    }
    tasks["running"] = Task(store_id="s", kind="export", subject_id=uuid4(), status="running")
    await _add(bench, *tasks.values())
    folders = {name: tmp_path / "exports" / str(task.id) for name, task in tasks.items()}
    folders["orphan"] = tmp_path / "exports" / str(uuid4())
    for folder in folders.values():
        folder.mkdir(parents=True)

    assert await prune_exports(bench.context.sessions, tmp_path / "exports") == 2

    assert {name for name, folder in folders.items() if folder.exists()} == {"young", "running"}
    assert await prune_exports(bench.context.sessions, tmp_path / "nothing") == 0


async def test_models_that_the_inference_server_needs_are_known(bench: Bench, inference: InferenceStandIn) -> None:
    assert await served_models(bench.context) == frozenset(), "it is down"
    inference.served.clear()
    inference.served.update(
        {
            "loaded": {"base": "org/loaded", "loaded": True},
            "idle": {"base": "org/idle", "loaded": False, "adapter_path": None},
            "adapter": {"base": "org/base", "loaded": False, "adapter_path": "/adapters/1"},
        }
    )
    client = InferenceClient(inference.base_url)
    try:
        assert await client.list_needed() == {"org/loaded", "org/base"}
    finally:
        await client.close()
        inference.served.clear()
