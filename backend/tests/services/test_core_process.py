"""Functions in processes of their own: what they return and raise, their limits, and that none is left behind."""

import asyncio
import math
import operator
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psutil
import pytest
from fixtures.training import ModelMaker, RunMaker
from mlx_hub.core.memory_estimate import MemoryEstimate
from mlx_hub.core.preflight import run_preflight
from mlx_hub.core.run_config import RunSpec, TrainingError, read_run
from mlx_hub.errors import HubError, InvalidInputError, UnavailableError
from mlx_hub.services.core_process import CoreProcesses

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def core_processes(**options: int) -> AsyncIterator[CoreProcesses]:
    core = CoreProcesses(**options)
    try:
        yield core
    finally:
        await core.close()


async def until(is_true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def raised(work: Awaitable[object]) -> HubError | TrainingError:
    with pytest.raises((HubError, TrainingError)) as caught:
        await work
    return caught.value


def fork_servers(pid: int | None = None) -> list[psutil.Process]:
    """Those below the process, which may have other children of other tests."""
    return [child for child in psutil.Process(pid).children() if "mlx_hub.core.fork_server" in child.cmdline()]


def grandchildren(pid: int | None = None) -> list[psutil.Process]:
    """Children of the fork servers below the process."""
    return [child for server in fork_servers(pid) for child in server.children()]


async def test_a_report_comes_back_with_its_types(make_run: RunMaker) -> None:
    run_dir = make_run()
    async with core_processes() as core:
        report = await core.run(run_preflight, read_run(run_dir), timeout_seconds=60)

    assert report.num_rows == 20
    assert isinstance(report.memory, MemoryEstimate)


async def test_each_call_has_a_process_of_its_own() -> None:
    async with core_processes() as core:
        pids = [await core.run(os.getpid, timeout_seconds=60) for _ in range(3)]

    assert len({*pids, os.getpid()}) == 4


async def test_a_training_error_comes_out_as_it_is(tiny_models: ModelMaker) -> None:
    spec = RunSpec(model_path=str(tiny_models()), train_files=("/nowhere.jsonl",))
    async with core_processes() as core:
        error = await raised(core.run(run_preflight, spec, timeout_seconds=60))

    assert isinstance(error, TrainingError)
    assert error.code == "bad_dataset"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(time.sleep, (600,)), pytest.param(math.factorial, (10**9,), id="never-leaves-its-c-code")],
)
async def test_what_takes_too_long_is_killed(function: Callable[..., object], arguments: tuple[int, ...]) -> None:
    async with core_processes() as core:
        error = await raised(core.run(function, *arguments, timeout_seconds=0.5))
        await until(lambda: not grandchildren())

    assert isinstance(error, InvalidInputError)


async def test_what_nobody_waits_for_any_more_is_killed() -> None:
    async with core_processes() as core:
        waiting = asyncio.create_task(core.run(time.sleep, 600, timeout_seconds=600))
        await until(lambda: bool(grandchildren()))
        waiting.cancel()
        await asyncio.wait([waiting])
        await until(lambda: not grandchildren())

        assert waiting.cancelled()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
async def test_what_needs_too_much_memory_is_told_so() -> None:
    async with core_processes() as core:
        error = await raised(core.run(operator.mul, "x", 2**31, timeout_seconds=60, memory_limit_bytes=2**30))

    assert isinstance(error, InvalidInputError)
    assert str(2**30) in error.message


async def test_an_answer_that_is_too_large_is_refused() -> None:
    async with core_processes() as core:
        error = await raised(core.run(operator.mul, "x", 2**27, timeout_seconds=60))

    assert isinstance(error, InvalidInputError)


async def test_a_crash_ends_its_own_call_only() -> None:
    async with core_processes() as core:
        other = asyncio.create_task(core.run(time.sleep, 2, timeout_seconds=60))
        error = await raised(core.run(os.abort, timeout_seconds=60))
        pid = await core.run(os.getpid, timeout_seconds=60)

        assert isinstance(error, UnavailableError)
        assert str(int(signal.SIGABRT)) in error.message
        assert pid
        assert await other is None


async def test_a_fork_server_that_was_killed_is_started_again() -> None:
    async with core_processes() as core:
        await core.run(os.getpid, timeout_seconds=60)
        running = asyncio.create_task(core.run(time.sleep, 600, timeout_seconds=600))
        await until(lambda: bool(grandchildren()))
        (server,), (child,) = fork_servers(), grandchildren()
        server.kill()
        child.kill()

        error = await raised(running)
        pid = await core.run(os.getpid, timeout_seconds=60)

    assert isinstance(error, UnavailableError)
    assert pid


async def test_only_so_many_run_at_once() -> None:
    most = 0

    async with core_processes(max_processes=2) as core:
        calls = [asyncio.create_task(core.run(time.sleep, 0.2, timeout_seconds=60)) for _ in range(6)]
        while not all(call.done() for call in calls):
            most = max(most, len(grandchildren()))
            await asyncio.sleep(0.01)

    assert 1 <= most <= 2


async def test_who_gets_no_turn_in_time_is_told_to_come_back() -> None:
    async with core_processes(max_processes=1) as core:
        holder = asyncio.create_task(core.run(time.sleep, 600, timeout_seconds=600))
        await until(lambda: bool(grandchildren()))
        error = await raised(core.run(os.getpid, timeout_seconds=0.1))
        holder.cancel()

    assert isinstance(error, UnavailableError)
    assert error.retry_after_seconds


async def test_closing_ends_what_runs_and_leaves_no_process() -> None:
    core = CoreProcesses()
    running = asyncio.create_task(core.run(time.sleep, 600, timeout_seconds=600))
    await until(lambda: bool(grandchildren()))
    processes = [*fork_servers(), *grandchildren()]

    await core.close()
    error = await raised(running)

    assert isinstance(error, UnavailableError)
    assert not any(process.is_running() for process in processes)


async def test_the_child_does_not_see_the_environment() -> None:
    os.environ["HF_TOKEN"] = "hf_canary"
    try:
        async with core_processes() as core:
            seen = await core.run(os.getenv, "HF_TOKEN", timeout_seconds=60)
    finally:
        del os.environ["HF_TOKEN"]

    assert seen is None


_OWNER = """
import asyncio, sys, time
from mlx_hub.services.core_process import CoreProcesses
async def main():
    await CoreProcesses().run(time.sleep, 600, timeout_seconds=600)
asyncio.run(main())
"""


async def test_nothing_outlives_an_owner_that_was_killed() -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", _OWNER)
    try:
        await until(lambda: bool(grandchildren(owner.pid)), 60)
        processes = [*fork_servers(owner.pid), *grandchildren(owner.pid)]
    finally:
        owner.kill()
        await owner.wait()

    await until(lambda: not any(process.is_running() for process in processes))
