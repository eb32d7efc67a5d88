"""`scripts/start.py`, which `make start` runs: keeps the processes of a Procfile alive and stops them together."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS_PYTHON = ROOT / ".tools" / "bin" / "python"
_SECONDS = 60.0

FOREVER = "exec {python} -c 'import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(600)'"


class Running:
    """What `scripts/start.py` prints, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not is_true():
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def end(self) -> int:
        status = self.process.wait(_SECONDS)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def start(folder: Path, **commands: str) -> Iterator[Running]:
    procfile = folder / "Procfile"
    procfile.write_text("".join(f"{name}: {command.format(python=sys.executable)}\n" for name, command in commands.items()))
    process = subprocess.Popen(
        [TOOLS_PYTHON, ROOT / "scripts" / "start.py", "--procfile", procfile],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "MLFLOW_TRACKING_URI": "http://localhost:1"},
    )
    running = Running(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            running.end()


def test_a_service_that_was_killed_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    with start(tmp_path, fragile=f"echo $$ >> {pids}; {FOREVER}", steady=FOREVER) as running:
        running.wait_for(lambda: pids.exists() and pids.read_text().count("\n") == 1)
        os.kill(int(pids.read_text()), signal.SIGKILL)
        running.wait_for(lambda: pids.read_text().count("\n") == 2)
        running.process.terminate()
        status = running.end()

    assert status == 0, running.output
    assert "ended with status -9; it is started again" in running.output
    assert len(re.findall(r"steady stopped \(rc=0\)", running.output)) == 1
    assert "steady | ended" not in running.output


def test_the_dashboard_is_not_given_the_tracking_address_which_may_carry_a_password(tmp_path: Path) -> None:
    with start(tmp_path, page="echo pages at $NEXT_PUBLIC_MLFLOW_URL, tracking at $MLFLOW_TRACKING_URI; exit 2") as running:
        running.end()

    assert "pages at http://localhost:5001, tracking at http://localhost:1" in running.output


def test_a_wrong_setting_stops_everything_and_is_the_exit_status(tmp_path: Path) -> None:
    with start(tmp_path, wrong="echo MLX_PORT is not a number; exit 2", steady=FOREVER) as running:
        status = running.end()

    assert status == 2
    assert "MLX_PORT is not a number" in running.output
    assert "started again" not in running.output


def test_a_stop_during_the_pause_before_a_restart_is_heeded_at_once(tmp_path: Path) -> None:
    with start(tmp_path, broken="exit 1", steady=FOREVER) as running:
        running.wait_for(lambda: running.output.count("started again") >= 2)
        running.process.terminate()
        status = running.end()

    assert status == 1


def test_ctrl_c_asks_each_service_once(tmp_path: Path) -> None:
    counting = (
        "exec {python} -c 'import signal, sys, time; signal.signal(signal.SIGALRM, lambda *_: sys.exit(0)); "
        'signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), signal.alarm(1))); '
        'print("ready", flush=True); time.sleep(600)\''
    )

    with start(tmp_path, counting=counting) as running:
        running.wait_for(lambda: "ready" in running.output)
        running.process.send_signal(signal.SIGINT)
        status = running.end()

    assert status == 0, running.output
    assert running.output.count("| asked") == 1
