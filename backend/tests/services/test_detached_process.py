"""Processes that outlive the worker: found by their heartbeat, signalled without hitting others, with a log that stays small."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from fixtures.processes import wait_until
from fixtures.training import RunMaker
from mlx_hub.core.run_files import LOCKED_EXIT_CODE, LOG_FILE, Heartbeat, run_lock
from mlx_hub.services import detached_process
from mlx_hub.services.detached_process import DetachedProcess, bound_log, read_log_tail
from mlx_hub.services.trainer_watch import TRAINER


def _beat(run_dir: Path, pid: int, create_time: float) -> Heartbeat:
    beat = Heartbeat(pid=pid, create_time=create_time, step=1, t=time.time(), mode="train")
    (run_dir / "heartbeat").write_bytes(msgspec.json.encode(beat))
    return beat


def test_it_is_started_apart_without_secrets_and_its_exit_status_is_known(
    make_run: RunMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    run_dir = make_run(steps=1)

    with run_lock(run_dir):
        process = DetachedProcess.start(TRAINER, run_dir, variables={"EXTRA": "1"})
        found = psutil.Process(process.pid)
        assert os.getsid(process.pid) == process.pid
        variables = _environment_of(found)
        wait_until(process.has_ended, 60)

    assert process.exit_status == LOCKED_EXIT_CODE
    assert "work_refused" in "\n".join(read_log_tail(run_dir / LOG_FILE, 5))
    assert variables["EXTRA"] == "1"
    assert not {"DATABASE_URL", "HF_TOKEN"} & set(variables)


def _environment_of(process: psutil.Process) -> dict[str, str]:
    """Of the program that was started, once it is that program."""
    # `nice` comes first, and between two programs there is no environment to read.
    wait_until(lambda: process.cmdline()[:1] == [sys.executable] and bool(process.environ()))
    return process.environ()


@pytest.fixture
def sleeper() -> Callable[[], subprocess.Popen[bytes]]:
    return lambda: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_process_that_got_the_pid_of_a_dead_one_is_not_touched(
    tmp_path: Path, sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    with sleeper() as stranger:
        created = psutil.Process(stranger.pid).create_time()
        earlier = _beat(tmp_path, stranger.pid, created - 100)

        assert DetachedProcess.find(tmp_path) is None
        DetachedProcess(stranger.pid, earlier).send(signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(1)

        # The clock was put right by a second meanwhile.
        _beat(tmp_path, stranger.pid, created + 1)
        process = DetachedProcess.find(tmp_path)
        assert process is not None
        assert (process.mode, process.has_ended()) == ("train", False)
        process.send(signal.SIGKILL)
        wait_until(process.has_ended)
        assert process.exit_status == -signal.SIGKILL
        assert DetachedProcess.find(tmp_path) is None
        stranger.returncode = -signal.SIGKILL


def test_a_large_log_keeps_its_end_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached_process, "MAX_LOG_BYTES", 20_000)
    monkeypatch.setattr(detached_process, "_KEPT_LOG_BYTES", 1000)
    log = tmp_path / LOG_FILE
    with log.open("ab", buffering=0) as writer:
        for number in range(3000):
            writer.write(b"line %d\n" % number)
        bound_log(log)
        size = log.stat().st_size
        writer.write(b"the last line\n")

    assert size <= 1000
    assert read_log_tail(log, 2) == ["line 2999", "the last line"]
    assert log.read_text().startswith("line ")
    bound_log(tmp_path / "missing.log")
    assert read_log_tail(tmp_path / "missing.log", 5) == []
