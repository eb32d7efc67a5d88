"""Queued rows reach a queue once, and whatever a crash leaves behind is put right."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from fixtures.worker import Bench, count_recoveries, open_bench
from mlx_hub.core.run_files import Heartbeat
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Download, Event, JobStatus, Machine, Task, TrainingJob
from mlx_hub.services.dispatch import PLACES, WAITING_FOR_MACHINE, Dispatcher, queue_name
from mlx_hub.services.work_rows import TABLES, WorkKey, WorkRow, key_of
from mlx_hub.services.workflows import MAX_RECOVERIES, Workflows
from sqlmodel import col, select, update

pytestmark = pytest.mark.anyio

LEASE_SECONDS = 2.0


@pytest.fixture
async def bench(tmp_path: Path, migrated_url: str) -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path, migrated_url) as opened:
        yield opened


class Runs:
    """What the queues have run; each ends its row, breaks, or waits, as the test says."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.seen: list[WorkKey] = []
        self.breaks = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    def work(self, kind: str) -> Callable[[UUID, int], Awaitable[None]]:
        async def run(row_id: UUID, attempt: int) -> None:
            self.seen.append(WorkKey(kind, row_id, attempt))
            if self.breaks:
                raise RuntimeError("a mistake")
            await self.goes_on.wait()
            await set_row(self.bench, WorkKey(kind, row_id, attempt), status="cancelled")

        return run


async def set_row(bench: Bench, key: WorkKey, **values: Any) -> None:
    table = TABLES[key.kind]
    async with bench.context.sessions.begin() as session:
        is_here = (col(table.id) == key.row_id, col(table.attempt) == key.attempt)
        await session.exec(update(table).where(*is_here).values(**values))


async def add(bench: Bench, row: WorkRow) -> WorkKey:
    async with bench.context.sessions.begin() as session:
        session.add(row)
    return key_of(row)


async def read(bench: Bench, key: WorkKey) -> Any:
    async with bench.context.sessions.begin() as session:
        return await session.get_one(TABLES[key.kind], key.row_id)


def download(bench: Bench, **values: Any) -> Download:
    defaults = {"repo_id": f"org/{uuid4().hex}", "revision": "main", "store_id": bench.context.store_id}
    return Download(**defaults | values)


def job(bench: Bench, **values: Any) -> TrainingJob:
    defaults = {"name": "j", "adapter_name": "a", "model_id": None, "dataset_id": None, "store_id": bench.context.store_id}
    return TrainingJob(**defaults | values)


async def until(is_true: Callable[[], Awaitable[bool]], step: Callable[[], Awaitable[object]], seconds: float = 40.0) -> None:
    """Repeats `step` until it is true."""
    deadline = time.monotonic() + seconds
    while not await is_true():
        assert time.monotonic() < deadline
        await step()
        await asyncio.sleep(0.05)


class Stage:
    """A dispatcher with running queues."""

    def __init__(self, bench: Bench, runs: Runs, workflows: Workflows, dispatcher: Dispatcher) -> None:
        self.bench, self.runs, self.workflows, self.dispatcher = bench, runs, workflows, dispatcher

    async def until_seen(self, *keys: WorkKey) -> None:
        async def is_seen() -> bool:
            return set(keys) <= set(self.runs.seen)

        await until(is_seen, self.dispatcher.run_once)

    async def until_status(self, key: WorkKey, status: str) -> Any:
        async def has_it() -> bool:
            return (await read(self.bench, key)).status == status

        await until(has_it, self.dispatcher.run_once)
        return await read(self.bench, key)


@pytest.fixture
async def stage(bench: Bench) -> AsyncGenerator[Stage]:
    runs = Runs(bench)
    workflows = bench.workflows(**{kind: runs.work(kind) for kind in TABLES})
    dispatcher = Dispatcher(bench.context, workflows, lease_seconds=LEASE_SECONDS)
    await workflows.start(dispatcher.queues)
    yield Stage(bench, runs, workflows, dispatcher)
    await workflows.stop()


async def test_rows_of_each_kind_are_run_once(stage: Stage) -> None:
    bench = stage.bench
    quantise = Task(kind="quantise", subject_id=uuid4(), store_id=bench.context.store_id)
    keys = [await add(bench, row) for row in (download(bench), job(bench), quantise)]
    foreign = await add(bench, download(bench, store_id="another"))

    await stage.until_seen(*keys)
    for key in keys:
        await stage.until_status(key, "cancelled")

    assert sorted(map(str, stage.runs.seen)) == sorted(map(str, keys))
    assert (await read(bench, foreign)).status == "queued"


async def test_no_more_is_taken_than_there_are_places_and_the_oldest_first(stage: Stage) -> None:
    bench = stage.bench
    stage.runs.goes_on.clear()
    moment = utc_now()
    jobs = [await add(bench, job(bench, created_at=moment + timedelta(seconds=number))) for number in range(3)]
    downloads = [await add(bench, download(bench, created_at=moment + timedelta(seconds=number))) for number in range(6)]

    await stage.until_seen(jobs[0], *downloads[:4])
    await stage.dispatcher.run_once()

    handed = await stage.workflows.find([*jobs, *downloads])
    assert set(handed) == {jobs[0], *downloads[: PLACES["io"]]}
    stage.runs.goes_on.set()
    await stage.until_seen(*jobs, *downloads)
    assert [key for key in stage.runs.seen if key.kind == "training"] == jobs


async def test_another_attempt_is_another_run(stage: Stage) -> None:
    key = await add(stage.bench, download(stage.bench))
    await stage.until_status(key, "cancelled")

    await set_row(stage.bench, key, status="queued", attempt=1)

    await stage.until_seen(WorkKey("download", key.row_id, 1))


@pytest.mark.parametrize("kind", ["download", "training"])
async def test_work_that_breaks_is_tried_again_and_then_given_up(stage: Stage, kind: str) -> None:
    stage.runs.breaks = True
    key = await add(stage.bench, download(stage.bench) if kind == "download" else job(stage.bench))

    row = await stage.until_status(key, "failed")

    assert [seen.attempt for seen in stage.runs.seen] == [0, 1, 2]
    assert (row.error_code, row.attempt) == ("crash_loop", 2)
    assert "3 times" in row.error_message


async def test_running_rows_that_no_queue_knows_any_more_are_run_again(stage: Stage) -> None:
    """Somebody deleted the queue's database, say."""
    key = await add(stage.bench, download(stage.bench, status="running", machine_id="here", attempt=4))

    await stage.until_seen(key)

    assert (await stage.until_status(key, "cancelled")).attempt == 4


async def _add_machine(bench: Bench, machine_id: str, **values: Any) -> None:
    defaults = {"hostname": "h", "device": "d", "memory_bytes": 1, "version": "1", "store_id": bench.context.store_id}
    async with bench.context.sessions.begin() as session:
        session.add(Machine(id=machine_id, **defaults | values))


async def test_a_dead_machines_work_is_taken_over_and_a_living_ones_is_not(stage: Stage) -> None:
    bench = stage.bench
    await _add_machine(bench, "dead")
    await _add_machine(bench, "alive")
    dead = await add(bench, download(bench, status="running", machine_id="dead"))
    alive = await add(bench, download(bench, status="running", machine_id="alive"))
    gone = await add(bench, download(bench, status="running", machine_id="stopped-properly"))

    async def renew() -> None:
        async with bench.context.sessions.begin() as session:
            await session.exec(update(Machine).where(col(Machine.id) == "alive").values(heartbeat_at=utc_now()))
        await stage.dispatcher.run_once()

    async def is_taken() -> bool:
        return {key.row_id for key in stage.runs.seen} >= {dead.row_id, gone.row_id}

    await until(is_taken, renew)

    assert (await read(bench, dead)).attempt == 1
    row = await read(bench, alive)
    assert (row.status, row.attempt, row.machine_id) == ("running", 0, "alive")
    async with bench.context.sessions.begin() as session:
        told = (await session.exec(select(Event.payload).where(Event.subject_id == str(dead.row_id)))).all()
    assert told[0]["status"] == "queued"


async def test_what_waits_in_a_dead_machines_queue_is_taken_back(stage: Stage) -> None:
    bench = stage.bench
    key = await add(bench, download(bench))
    await stage.workflows.enqueue(queue_name("io", bench.context.store_id, "dead"), key)

    await stage.until_seen(WorkKey("download", key.row_id, 1))


@pytest.mark.parametrize(("kind", "folder"), [("training", "runs"), ("task", "exports")])
async def test_work_whose_process_lives_on_is_left_to_it(stage: Stage, kind: str, folder: str) -> None:
    bench = stage.bench
    values: dict[str, Any] = {"status": "running", "machine_id": "dead", "store_id": bench.context.store_id}
    row = job(bench, **values) if kind == "training" else Task(kind="quantise", subject_id=uuid4(), **values)
    key = await add(bench, row)
    run_dir = bench.context.settings.data_dir / folder / str(row.id)
    run_dir.mkdir(parents=True)

    def beat(t: float) -> None:
        content = msgspec.json.encode(Heartbeat(pid=1, create_time=1.0, step=3, t=t))
        (run_dir / "heartbeat").write_bytes(content)

    deadline = time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < deadline:
        beat(time.monotonic())
        await stage.dispatcher.run_once()
        assert (await read(bench, key)).attempt == 0
        await asyncio.sleep(0.05)

    # The process stops writing.
    await stage.until_seen(WorkKey(kind, row.id, 1))


async def test_a_job_of_a_folder_that_no_worker_sees_says_what_it_waits_for(stage: Stage) -> None:
    bench = stage.bench
    await _add_machine(bench, "far-alive", store_id="far")
    lonely = await add(bench, job(bench, status="running", machine_id="elsewhere", store_id="elsewhere"))
    cared_for = await add(bench, job(bench, status="running", machine_id="far-alive", store_id="far"))

    await stage.dispatcher.mark_stranded()

    assert (await read(bench, lonely)).phase == WAITING_FOR_MACHINE
    assert (await read(bench, lonely)).status == JobStatus.RUNNING
    assert (await read(bench, cared_for)).phase == "queued"


async def test_work_that_kills_its_worker_again_and_again_is_given_up(bench: Bench) -> None:
    runs = Runs(bench)
    runs.goes_on.clear()
    key = await add(bench, download(bench))
    first = bench.workflows(**{kind: runs.work(kind) for kind in TABLES})
    dispatcher = Dispatcher(bench.context, first, lease_seconds=LEASE_SECONDS)
    await first.start(dispatcher.queues)
    await Stage(bench, runs, first, dispatcher).until_seen(key)
    await first.stop()
    count_recoveries(bench, MAX_RECOVERIES + 1)

    second = bench.workflows(**{kind: runs.work(kind) for kind in TABLES})
    dispatcher = Dispatcher(bench.context, second, lease_seconds=LEASE_SECONDS)
    await second.start(dispatcher.queues)
    await set_row(bench, key, status="running", machine_id="here")
    row = await Stage(bench, runs, second, dispatcher).until_status(key, "failed")
    await second.stop()

    assert row.error_code == "crash_loop"
    assert "died again and again" in row.error_message
    assert runs.seen == [key]
