"""The queue remembers what was handed over, and gives it out again after a stop, on each kind of database."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fixtures.worker import Bench, open_bench, queue_rows
from mlx_hub.models.base import utc_now
from mlx_hub.services.work_rows import WorkKey
from mlx_hub.services.workflows import Handed, Workflows, WorkState

pytestmark = pytest.mark.anyio

QUEUES = {"io:store:here": 2}
(QUEUE,) = QUEUES


@pytest.fixture
async def bench(tmp_path: Path, migrated_url: str) -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path, migrated_url) as opened:
        yield opened


async def until(is_true: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def ended(workflows: Workflows, asked: WorkKey) -> Handed:
    """What has become of it."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        handed = (await workflows.find([asked]))[asked]
        if handed.state not in (WorkState.WAITING, WorkState.RUNNING):
            return handed
        await asyncio.sleep(0.05)
    raise AssertionError("it has not ended")


def key(attempt: int = 0) -> WorkKey:
    return WorkKey("download", uuid4(), attempt)


async def test_what_was_stopped_is_run_again_by_the_next_start(bench: Bench) -> None:
    seen: list[tuple[UUID, int]] = []
    goes_on = asyncio.Event()

    async def work(row_id: UUID, attempt: int) -> None:
        seen.append((row_id, attempt))
        await goes_on.wait()

    interrupted = key(3)
    first = bench.workflows(download=work)
    await first.start(QUEUES)
    await first.enqueue(QUEUE, interrupted)
    await until(lambda: len(seen) == 1)
    assert first.is_running_here(interrupted)
    await first.stop()
    goes_on.set()

    second = bench.workflows(download=work)
    await second.start(QUEUES)
    assert (await ended(second, interrupted)).state == WorkState.DONE

    assert seen == [(interrupted.row_id, 3)] * 2
    assert await second.prune(older_than=utc_now() + timedelta(seconds=1)) == 1
    assert await second.find([interrupted]) == {}
    await second.stop()


async def test_handed_over_twice_it_runs_once_and_never_more_at_a_time_than_allowed(bench: Bench) -> None:
    seen: list[UUID] = []
    running = 0
    most = 0

    async def work(row_id: UUID, _: int) -> None:
        nonlocal running, most
        seen.append(row_id)
        running += 1
        most = max(most, running)
        # The first waits for a second, however late it comes; then there is time for a third that must not come.
        await until(lambda: most >= 2)
        await asyncio.sleep(0.3)
        running -= 1

    workflows = bench.workflows(download=work)
    await workflows.start(QUEUES)
    keys = [key() for _ in range(5)]
    for one in [*keys, *keys]:
        await workflows.enqueue(QUEUE, one)

    await until(lambda: len(seen) == 5 and not running)
    for one in keys:
        await workflows.enqueue(QUEUE, one)
    await workflows.stop()

    assert sorted(seen) == sorted(one.row_id for one in keys)
    assert most == 2


async def test_what_breaks_is_known_as_broken_and_nothing_but_ids_is_stored(bench: Bench) -> None:
    async def work(row_id: UUID, attempt: int) -> None:
        raise RuntimeError("a secret")

    broken = key()
    workflows = bench.workflows(download=work)
    await workflows.start(QUEUES)
    await workflows.enqueue(QUEUE, broken)
    assert await ended(workflows, broken) == Handed(WorkState.BROKEN, QUEUE)
    await workflows.stop()

    ((inputs,),) = queue_rows(bench, "SELECT inputs FROM {t}workflow_input")
    assert json.loads(inputs)["positionalArgs"] == [str(broken.row_id), 0]
    assert queue_rows(bench, "SELECT application_version, executor_id FROM {t}workflow_status") == [
        ("1", f"{bench.context.store_id}:here")
    ]


async def test_a_database_that_is_away_does_not_end_the_work(bench: Bench) -> None:
    seen: list[UUID] = []

    async def work(row_id: UUID, _: int) -> None:
        seen.append(row_id)
        if len(seen) == 1:
            raise ConnectionRefusedError

    asked = key()
    workflows = bench.workflows(download=work)
    await workflows.start(QUEUES)
    await workflows.enqueue(QUEUE, asked)

    await until(lambda: len(seen) == 2)
    await workflows.stop()

    assert seen == [asked.row_id] * 2
