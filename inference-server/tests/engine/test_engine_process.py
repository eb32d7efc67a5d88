"""The engine as a process: what clients see of its queue, its death, its restart and its end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from engine.conftest import prompt
from fixtures.answers import AnswerBook, command, spec_of
from fixtures.engine import EngineDriver, poll, running_engine
from fixtures.local_engine import LocalEngine
from unified_mlx_app.errors import ConflictError, EngineDownError, ModelNotFoundError, QueueFullError, ShuttingDownError


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineDriver]:
    with running_engine(tmp_path_factory.mktemp("cache"), max_batch_size=4, max_queue=4, prefill_chunk_tokens=32) as engine:
        yield engine


def until_idle(driver: EngineDriver) -> None:
    """Wait for a heartbeat that says that nothing runs or waits and no bytes are reserved."""
    poll(lambda: driver.stats.num_running == driver.stats.num_waiting == driver.stats.kv_bytes == 0)


def begin_decoding(driver: EngineDriver, tiny: Path, number: int = 1) -> tuple[object, AnswerBook]:
    each = command(tiny, prompt(number, 20), max_tokens=30_000)
    book = AnswerBook(each)
    run = driver.begin(each, book)
    poll(lambda: book.chunks)
    return run, book


def engine_pids() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "unified_mlx_app.engine.worker" in _command_line(child)}


def _command_line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def kill_while_it_starts(known: set[int]) -> None:
    """Kill the engine process that is none of `known`, before it can say that it is ready."""
    (pid,) = poll(lambda: engine_pids() - known)
    os.kill(pid, signal.SIGKILL)


def test_answers_come_through_the_socket_as_they_are(driver: EngineDriver, tiny: Path, serial: LocalEngine) -> None:
    commands = [
        command(tiny, prompt(number, 40), max_tokens=9, top_logprobs=2, num_choices=1 + number % 2) for number in range(4)
    ]

    answers = driver.generate(*commands)

    for each, answer in zip(commands, answers, strict=True):
        (expected,) = serial.generate(each)
        assert (answer.choices, answer.texts, answer.reasons) == (expected.choices, expected.texts, expected.reasons)
        assert [len(logprobs) for logprobs in answer.logprobs] == [9] * each.num_choices


def test_a_full_queue_refuses_before_anything_is_sent(driver: EngineDriver, tiny: Path) -> None:
    runs = [driver.begin(command(tiny, prompt(number, 20), max_tokens=200)) for number in range(8)]
    poll(lambda: driver.status.num_in_flight == 8)

    (refused,) = driver.generate(command(tiny, prompt(9, 20)))

    assert isinstance(refused.error, QueueFullError)
    assert refused.error.retry_after_seconds is not None
    assert all(run.result(60).error is None for run in runs)
    until_idle(driver)


def test_closing_a_stream_cancels_its_request(driver: EngineDriver, tiny: Path) -> None:
    run, _ = begin_decoding(driver, tiny)
    poll(lambda: driver.stats.num_running == 1)

    run.cancel()  # pyright: ignore[reportAttributeAccessIssue]

    until_idle(driver)
    assert driver.status.num_in_flight == 0


def test_models_and_cache_are_managed_by_commands(driver: EngineDriver, tiny: Path, tmp_path: Path) -> None:
    loaded = driver.call("load_model", spec_of(tiny), pin=True)
    assert (loaded.name, loaded.pinned) == (tiny.name, True)
    run, _ = begin_decoding(driver, tiny)
    with pytest.raises(ConflictError):
        driver.call("unload_model", tiny.name)
    run.cancel()  # pyright: ignore[reportAttributeAccessIssue]
    until_idle(driver)
    driver.call("unload_model", tiny.name)
    with pytest.raises(ModelNotFoundError):
        driver.call("unload_model", tiny.name)

    driver.call("clear_cache")
    driver.generate(command(tiny, prompt(3, 60), system=50))
    entries = driver.call("cache_entries")
    assert {entry.kind for entry in entries} == {"system", "conversation"}
    system_key = next(entry.cache_key for entry in entries if entry.kind == "system")
    assert driver.call("delete_cache_entry", system_key) == 2
    assert driver.call("delete_cache_entry", "unknown") == 0
    assert driver.call("cache_stats").memory_entries == 0


def test_a_killed_engine_fails_its_requests_at_once_and_serves_the_next_from_its_files(
    tiny: Path, tmp_path: Path, serial: LocalEngine
) -> None:
    question = command(tiny, prompt(1, 300), system=280)
    with running_engine(tmp_path / "cache", prefill_chunk_tokens=32) as driver:
        driver.generate(question)
        poll(lambda: driver.call("cache_stats").pending_writes == 0)
        running = [begin_decoding(driver, tiny, number)[0] for number in (1, 2)]
        engines, killed_at = engine_pids(), time.monotonic()
        pid = driver.kill()
        failed = [run.result(30) for run in running]  # pyright: ignore[reportAttributeAccessIssue]
        failed_after_seconds = time.monotonic() - killed_at

        waiting = driver.begin(command(tiny, prompt(1, 300), system=280))
        kill_while_it_starts(known=engines)
        again = waiting.result(60)

        assert all(isinstance(answer.error, EngineDownError) for answer in failed)
        assert failed_after_seconds < 3
        assert driver.status.restarts == 2
        assert driver.status.pid != pid
        assert (again.report.outcome, again.report.tier, again.report.cached_tokens) == ("hit", "disk", 280)
        assert again.tokens == serial.generate(question)[0].tokens

        driver.kill(signal.SIGSEGV)
        poll(lambda: driver.status.state == "down")
        (refused,) = driver.generate(command(tiny, [5, 6, 7]))
        assert isinstance(refused.error, EngineDownError)
        assert (refused.error.retry_after_seconds, driver.status.restarts) == (60, 3)


def test_stopping_finishes_what_runs_and_refuses_the_rest(tiny: Path, tmp_path: Path) -> None:
    driver = EngineDriver(tmp_path / "cache", max_batch_size=1, prefill_chunk_tokens=32)
    try:
        driver.start()
        each = command(tiny, prompt(1, 100), system=80, max_tokens=1000)
        book = AnswerBook(each)
        run = driver.begin(each, book)
        waiting = driver.begin(command(tiny, prompt(2, 20)))
        poll(lambda: book.chunks)
    finally:
        driver.close(drain_seconds=60)

    assert len(run.result(5).tokens) == 1000
    assert isinstance(waiting.result(5).error, ShuttingDownError)
    assert {file.suffix for file in (tmp_path / "cache").glob("*.kv")} == {".kv"}
    assert not list((tmp_path / "cache").glob(".*.tmp"))


_PARENT = """
import asyncio, sys
from pathlib import Path
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.client import EngineClient

async def main():
    client = EngineClient(Settings(prompt_cache_dir=Path(sys.argv[1])))
    await client.start()
    while client.status.pid is None:
        await asyncio.sleep(0.01)
    print(client.status.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_engine_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path / "cache")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = (line for line in parent.stdout if line.strip().isdigit())
    engine = psutil.Process(int(next(lines)))

    parent.kill()
    parent.wait()
    parent.stdout.close()

    poll(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
