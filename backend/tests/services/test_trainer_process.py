"""Trainers as processes: found by their heartbeat, signalled without hitting others, with a log that stays small."""

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
from fixtures.downloads import wait_until
from fixtures.training import RunMaker
from mlx_hub.core.run_files import LOCKED_EXIT_CODE, Heartbeat, run_lock
from mlx_hub.services import trainer_process
from mlx_hub.services.trainer_process import TrainerProcess, bound_log, read_log_tail


def _beat(run_dir: Path, pid: int, create_time: float) -> None:
    beat = Heartbeat(pid=pid, create_time=create_time, step=1, t=time.time(), mode="train")
    (run_dir / "heartbeat").write_bytes(msgspec.json.encode(beat))


def test_a_trainer_is_started_apart_and_its_exit_status_is_known(make_run: RunMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    run_dir = make_run(steps=1)

    with run_lock(run_dir):
        process = TrainerProcess.start(run_dir, "train", {"EXTRA": "1"})
        found = psutil.Process(process.pid)
        assert os.getsid(process.pid) == process.pid
        variables = _environment_of(found)
        wait_until(process.has_ended, 60)

    assert process.exit_status == LOCKED_EXIT_CODE
    assert "training_refused" in "\n".join(read_log_tail(run_dir, 5))
    assert variables["EXTRA"] == "1"
    assert "DATABASE_URL" not in variables


def _environment_of(process: psutil.Process) -> dict[str, str]:
    """Of the program that was started, once it is that program."""
    wait_until(lambda: "mlx_hub.core.train" in process.cmdline())
    return process.environ()


@pytest.fixture
def sleeper() -> Callable[[], subprocess.Popen[bytes]]:
    return lambda: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_process_that_got_the_pid_of_a_dead_trainer_is_not_touched(
    tmp_path: Path, sleeper: Callable[[], subprocess.Popen[bytes]]
) -> None:
    with sleeper() as stranger:
        created = psutil.Process(stranger.pid).create_time()
        _beat(tmp_path, stranger.pid, created - 100)

        assert TrainerProcess.find(tmp_path) is None
        TrainerProcess(os.getppid(), 1.0).send(signal.SIGKILL)

        _beat(tmp_path, stranger.pid, created)
        found = TrainerProcess.find(tmp_path)
        assert found is not None
        process, mode = found
        assert (mode, process.has_ended()) == ("train", False)
        process.send(signal.SIGKILL)
        wait_until(process.has_ended)
        assert process.exit_status == -signal.SIGKILL
        assert TrainerProcess.find(tmp_path) is None
        stranger.returncode = -signal.SIGKILL


def test_a_large_log_keeps_its_end_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_process, "MAX_LOG_BYTES", 20_000)
    monkeypatch.setattr(trainer_process, "_KEPT_LOG_BYTES", 1000)
    log = tmp_path / "trainer.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(3000):
            writer.write(b"line %d\n" % number)
        bound_log(tmp_path)
        size = log.stat().st_size
        writer.write(b"the last line\n")

    assert size <= 1000
    assert read_log_tail(tmp_path, 2) == ["line 2999", "the last line"]
    assert log.read_text().startswith("line ")
    bound_log(tmp_path / "missing")
    assert read_log_tail(tmp_path / "missing", 5) == []
