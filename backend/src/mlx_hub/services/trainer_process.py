"""A trainer as a process that outlives the worker: started in a session of its own, found again by its heartbeat, signalled.

The exit status of a trainer is known only to the worker process that started it; any other learns that it is gone.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from mlx_hub.core.run_files import EXIT_FILES, Heartbeat, Mode, is_running, read_heartbeat

LOG_FILE = "trainer.log"
MAX_LOG_BYTES = 8 * 2**20
_KEPT_LOG_BYTES = 2**20
_TAIL_BYTES = 256 * 2**10
_OPTIONS: dict[Mode, list[str]] = {"train": [], "probe": ["--probe"], "evaluate": ["--evaluate"]}
_KEPT_FROM_TRAINERS = ("DATABASE_URL", "HF_TOKEN", "MLFLOW_")
"""Prefixes of variables with passwords and tokens: a trainer runs foreign templates and has no use for them."""
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TRANSFORMERS_VERBOSITY": "error"}
_NICENESS = "5"
"""The API and the inference server go first."""


class TrainerProcess:
    """One process at work in a run folder. Used by one coroutine."""

    def __init__(self, pid: int, create_time: float | None) -> None:
        """`create_time` None is for a child that was just started, whose pid cannot be another's before it is reaped."""
        self.pid = pid
        self.exit_status: int | None = None
        """When it has ended and was this process's child: what it exited with, or minus the signal that killed it."""
        self._create_time = create_time
        self._has_ended = False

    @classmethod
    def find(cls, run_dir: Path) -> "tuple[TrainerProcess, Mode] | None":
        """The process at work there, whoever started it, and what it does."""
        beat = read_heartbeat(run_dir)
        if beat is None:
            return None
        if not is_running(beat):
            _reap(beat)
            return None
        return cls(beat.pid, beat.create_time), beat.mode

    @classmethod
    def start(cls, run_dir: Path, mode: Mode, variables: Mapping[str, str]) -> "TrainerProcess":
        """Start one with `variables` in its environment; its output goes to the end of the folder's log."""
        (run_dir / EXIT_FILES[mode]).unlink(missing_ok=True)
        command = ["nice", "-n", _NICENESS, sys.executable, "-m", "mlx_hub.core.train", str(run_dir), *_OPTIONS[mode]]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_FROM_TRAINERS)}
        log = str(run_dir / LOG_FILE)
        pid = os.posix_spawnp(
            command[0],
            command,
            {**inherited, **_ENVIRONMENT, **variables},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            # Ctrl-C in the worker's terminal is not meant for it, and it lives on when the worker dies.
            setsid=True,
        )
        return cls(pid, None)

    def has_ended(self) -> bool:
        if self._has_ended:
            return True
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._has_ended = not self._is_alive()
        else:
            if pid:
                self._has_ended, self.exit_status = True, os.waitstatus_to_exitcode(status)
        return self._has_ended

    def send(self, number: int) -> None:
        """Send a signal to it, and to no other process that has got its pid."""
        if not self.has_ended():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            is_same = self._create_time is None or process.create_time() == self._create_time
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _reap(beat: Heartbeat) -> None:
    """A child of this process that ended while nobody looked stays in the system's table until it is asked about."""
    with suppress(psutil.Error, ChildProcessError):
        if psutil.Process(beat.pid).create_time() == beat.create_time:
            os.waitpid(beat.pid, os.WNOHANG)


def bound_log(run_dir: Path) -> None:
    """Keep only the end of a log that has grown large; the trainer goes on writing behind it."""
    path = run_dir / LOG_FILE
    with suppress(FileNotFoundError):
        if path.stat().st_size <= MAX_LOG_BYTES:
            return
        with path.open("r+b") as file:
            file.seek(-_KEPT_LOG_BYTES, os.SEEK_END)
            end = file.read().partition(b"\n")[2]
            file.seek(0)
            file.write(end)
            file.truncate()


def read_log_tail(run_dir: Path, num_lines: int) -> list[str]:
    """The last lines of the log, of its last 256 KiB at most; none when there is no log."""
    try:
        with (run_dir / LOG_FILE).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            content = file.read(_TAIL_BYTES)
    except FileNotFoundError:
        return []
    text = content.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    return text.splitlines()[-num_lines:]
