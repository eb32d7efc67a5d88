"""SIGTERM has one deadline: whatever hangs or is slow, the process is gone in time with status 0, and nothing is half there."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.server import RunningServer, Stream, run_server
from unified_mlx_app.services.lifecycle import CLOSE_SECONDS

_DRAIN_SECONDS = 2.0
_END_SECONDS = _DRAIN_SECONDS + CLOSE_SECONDS + 2
"""By default 30 s."""
_NUM_PROMPTS = 12

_SLOW_DISK = """
import os, threading, time

fsync = os.fsync

def slow_fsync(fd):
    if threading.current_thread().name == "prompt-cache-io":
        time.sleep({seconds})
    fsync(fd)

os.fsync = slow_fsync
"""


def disk_that_syncs_in(seconds: float, home: Path) -> dict[str, str]:
    """Variables under which each sync of the cache folder or a file in it takes a server so long."""
    folder = home / "slow-disk"
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(_SLOW_DISK.format(seconds=seconds))
    return {"PYTHONPATH": str(folder)}


def question(number: int) -> dict[str, object]:
    messages = [
        {"role": "system", "content": f"You are number {number}. " + "You answer from the handbook. " * 40},
        {"role": "user", "content": "Go"},
    ]
    return {"messages": messages, "max_tokens": 2}


def stop_in_time(server: RunningServer) -> None:
    """SIGTERM; fails when the server does not end in time with status 0, or leaves a process behind."""
    engine_pid = server.engine()["pid"]
    started = time.monotonic()

    status = server.stop(signal.SIGTERM, seconds=_END_SECONDS + 30)

    assert (status, time.monotonic() - started < _END_SECONDS) == (0, True), server.log()[-3000:]
    with pytest.raises(ProcessLookupError):
        os.kill(engine_pid, 0)


def wait_for_reader(pipe: Path) -> int:
    """The end of the pipe into which nothing is ever written, as soon as somebody reads the other one."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):  # Until somebody reads it, it cannot be opened.
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        assert time.monotonic() < deadline, "nobody reads it"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("sync_seconds", [1.0, 600.0], ids=["slow", "hung"])
def test_a_disk_that_cannot_keep_up_costs_what_was_queued_last_and_no_time(
    tmp_path: Path, tiny_models: Callable[..., Path], sync_seconds: float
) -> None:
    model, cache = tiny_models(), tmp_path / ".unified-mlx" / "cache" / "prompts"
    slow_disk = disk_that_syncs_in(sync_seconds, tmp_path)
    with run_server(tmp_path, model, MLX_DRAIN_SECONDS=str(_DRAIN_SECONDS), **slow_disk) as server:
        streams = [Stream(server, 30_000) for _ in range(4)]
        server.wait_until(lambda _: all(len(stream.frames) > 3 for stream in streams), 60)
        for number in range(_NUM_PROMPTS):
            assert server.post("/v1/chat/completions", question(number)).status_code == 200
        pending = server.get("/admin/cache/prompts/stats").json()["pending_writes"]
        assert pending > 5, "the disk was fast enough"

        stop_in_time(server)

        for stream in streams:
            stream.join(10)
            assert json.loads(stream.frames[-1])["error"]["code"] == "shutting_down"
        assert "Traceback" not in server.log()

    with run_server(tmp_path, model, MLX_MAX_BATCH_SIZE="1") as again:
        stats = again.get("/admin/cache/prompts/stats").json()
        hits = [
            again.post("/v1/chat/completions", question(number)).headers["x-cache"] == "hit" for number in range(_NUM_PROMPTS)
        ]
        again.wait_until(lambda it: it.get("/admin/cache/prompts/stats").json()["pending_writes"] == 0, 60)
        assert again.get("/admin/cache/prompts/stats").json()["quarantined"] == 0
    assert not list(cache.glob(".*.tmp"))
    assert stats["disk_entries"] == 0 if sync_seconds > 60 else stats["disk_entries"] > 0
    # Those that were answered first landed first.
    assert hits == sorted(hits, reverse=True)
    assert not hits[-1]


def test_an_engine_that_hangs_is_not_waited_for(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models(), MLX_DRAIN_SECONDS="0") as server:
        stream = Stream(server, 30_000)
        server.wait_until(lambda _: len(stream.frames) > 3, 60)
        os.kill(server.engine()["pid"], signal.SIGSTOP)

        stop_in_time(server)

        stream.join(10)
        assert json.loads(stream.frames[-1])["error"]["code"] == "shutting_down"


def test_after_a_second_signal_nothing_that_hangs_is_waited_for_long(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models(), MLX_DRAIN_SECONDS="300") as server:
        stream = Stream(server, 30_000)
        server.wait_until(lambda _: len(stream.frames) > 3, 60)
        os.kill(server.engine()["pid"], signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda it: it.get("/health/ready").status_code == 503, 20)
        started = time.monotonic()

        status = server.stop(signal.SIGTERM, seconds=_END_SECONDS + 30)

        assert (status, time.monotonic() - started < _END_SECONDS) == (0, True), server.log()[-3000:]


def test_a_disk_that_hangs_under_a_thread_does_not_keep_the_process(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_models(), model)
    with run_server(tmp_path, model, MLX_DRAIN_SECONDS="0") as server:
        pipe = model / "generation_config.json"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        asking = Stream(server, 5)
        writer = wait_for_reader(pipe)
        try:
            stop_in_time(server)
        finally:
            os.close(writer)

        asking.join(10)
        assert "shutdown_out_of_time" in server.log()
