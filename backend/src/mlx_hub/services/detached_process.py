"""A process of `core` that outlives the worker: started in a session of its own, found again by its heartbeat, signalled.

It works in a folder and tells there how far it is. Its exit status is known only to the worker process that started it; any
other learns that it is gone.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlx_hub.core.run_files import Heartbeat, Mode, is_running, is_same_process, read_heartbeat
from mlx_hub.observability.logs import context_variables

MAX_LOG_BYTES = 8 * 2**20
_KEPT_LOG_BYTES = 2**20
_TAIL_BYTES = 256 * 2**10
_SECRETS = ("DATABASE_URL", "HF_TOKEN", "MLFLOW_", "MLX_API_KEY", "MLX_HUB_API_KEY", "OTEL_")
"""Prefixes of variables with passwords and tokens: what runs foreign templates and reads foreign models has no use for them."""
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TRANSFORMERS_VERBOSITY": "error"}
_NICENESS = "5"
"""The API and the inference server go first."""


@dataclass(frozen=True, slots=True)
class Program:
    """A module of `core` that is told its folder, and the file there that gets its output."""

    module: str
    log_file: str


class DetachedProcess:
    """One process at work in a folder. Used by one coroutine."""

    def __init__(self, pid: int, beat: Heartbeat | None = None) -> None:
        """Without its heartbeat it is a child that was just started, whose pid cannot be another's before it is reaped."""
        self.pid = pid
        self.mode: Mode | None = beat.mode if beat else None
        """What one that was found works at."""
        self.exit_status: int | None = None
        """When it has ended and was this process's child: what it exited with, or minus the signal that killed it."""
        self._create_time = beat.create_time if beat else None
        self._has_ended = False

    @classmethod
    def find(cls, folder: Path) -> "DetachedProcess | None":
        """The process at work there, whoever started it."""
        beat = read_heartbeat(folder)
        if beat is None:
            return None
        if not is_running(beat):
            _reap(beat)
            return None
        return cls(beat.pid, beat)

    @classmethod
    def start(
        cls, program: Program, folder: Path, *options: str, variables: Mapping[str, str] | None = None
    ) -> "DetachedProcess":
        """Start one with `variables` in its environment; its output goes to the end of the folder's log."""
        command = ["nice", "-n", _NICENESS, sys.executable, "-m", program.module, str(folder), *options]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        log = str(folder / program.log_file)
        pid = os.posix_spawnp(
            command[0],
            command,
            {**inherited, **_ENVIRONMENT, **context_variables(), **(variables or {})},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            # Ctrl-C in the worker's terminal is not meant for it, and it lives on when the worker dies.
            setsid=True,
        )
        return cls(pid)

    def has_ended(self) -> bool:
        if self._has_ended:
            return True
        # First whether it is that very process: the pid may by now be another child's, whose end is not this one's business.
        if self._create_time is not None and not self._is_same(self._create_time):
            self._has_ended = True
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

    def _is_same(self, create_time: float) -> bool:
        try:
            return is_same_process(psutil.Process(self.pid), create_time)
        except psutil.Error:
            return False

    def _is_alive(self) -> bool:
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _reap(beat: Heartbeat) -> None:
    """A child of this process that ended while nobody looked stays in the system's table until it is asked about."""
    with suppress(psutil.Error, ChildProcessError):
        if is_same_process(psutil.Process(beat.pid), beat.create_time):
            os.waitpid(beat.pid, os.WNOHANG)


def bound_log(path: Path) -> None:
    """Keep only the end of a log that has grown large; its process goes on writing behind it."""
    with suppress(FileNotFoundError):
        if path.stat().st_size <= MAX_LOG_BYTES:
            return
        with path.open("r+b") as file:
            file.seek(-_KEPT_LOG_BYTES, os.SEEK_END)
            end = file.read().partition(b"\n")[2]
            file.seek(0)
            file.write(end)
            file.truncate()


def read_log_tail(path: Path, num_lines: int, *, max_bytes: int = _TAIL_BYTES) -> list[str]:
    """The last lines of a log, of its last `max_bytes`; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            content = file.read(max_bytes)
    except OSError:
        return []
    text = content.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    return text.splitlines()[-num_lines:]
