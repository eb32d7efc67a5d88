"""A tool of `core` as a process that outlives the worker: started in a session of its own, found again by its heartbeat.

It works in a job folder, reads `task.json` there, and ends with `exit.json`. Used by one coroutine.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_FILE,
    LOCKED_EXIT_CODE,
    ExitReport,
    is_running,
    read_exit,
    read_heartbeat,
)
from mlx_hub.core.tool_files import LOG_FILE

POLL_SECONDS = 0.2
STOP_SECONDS = 30.0
"""A tool that was asked to stop and still runs after so long is killed."""
MAX_STARTS = 3
_TAIL_BYTES = 6000
_TAIL_LINES = 40
_SECRETS = ("DATABASE_URL", "HF_TOKEN", "MLFLOW_")
"""Prefixes of variables that a tool, which reads foreign models, has no use for."""
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TRANSFORMERS_VERBOSITY": "error"}

log = structlog.get_logger(__name__)


class ToolProcess:
    """One process at work in a job folder."""

    def __init__(self, pid: int, create_time: float | None) -> None:
        """`create_time` None is for a child just started, whose pid cannot be another's before it is reaped."""
        self.pid = pid
        self.exit_status: int | None = None
        """When it was this process's child and has ended: what it exited with, or minus the signal that killed it."""
        self._create_time = create_time
        self._has_ended = False

    @classmethod
    def find(cls, job_dir: Path) -> "ToolProcess | None":
        """The process at work there, whoever started it."""
        beat = read_heartbeat(job_dir)
        if beat is None:
            return None
        if not is_running(beat):
            # Perhaps a child of ours that ended while nobody looked.
            with suppress(ChildProcessError):
                os.waitpid(beat.pid, os.WNOHANG)
            return None
        return cls(beat.pid, beat.create_time)

    @classmethod
    def start(cls, job_dir: Path, module: str) -> "ToolProcess":
        """Start `python -m module job_dir`; its output goes to the end of the folder's log."""
        (job_dir / EXIT_FILE).unlink(missing_ok=True)
        command = ["nice", "-n", "5", sys.executable, "-m", module, str(job_dir)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        pid = os.posix_spawnp(
            command[0],
            command,
            {**inherited, **_ENVIRONMENT},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(job_dir / LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
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


async def run_tool(job_dir: Path, module: str, *, is_stopped: Callable[[], bool], stall_seconds: float) -> ExitReport:
    """Start the tool, or adopt the one at work there, and wait for its report; `is_stopped` is asked all the time.

    One that dies without a report, or passes no safe point for `stall_seconds`, is started again, `MAX_STARTS` times in
    all. Then raises TrainingError with the end of its log. Cancelled, it leaves the tool at work.
    """
    for _ in range(MAX_STARTS):
        process = ToolProcess.find(job_dir)
        if process is None:
            if report := _settled(job_dir, is_stopped=is_stopped()):
                return report
            process = ToolProcess.start(job_dir, module)
        stalled = await _wait(process, job_dir, is_stopped=is_stopped, stall_seconds=stall_seconds)
        if report := _settled(job_dir, is_stopped=is_stopped()):
            return report
        log.warning("tool_died", job_dir=str(job_dir), exit_status=process.exit_status, stalled=stalled)
        if process.exit_status == DISK_FULL_EXIT_CODE:
            raise TrainingError("storage_full", "The disk is full: free some space, then ask again.")
        if process.exit_status == LOCKED_EXIT_CODE:
            # Another tool has the folder, and will have a heartbeat in a moment.
            await asyncio.sleep(POLL_SECONDS * 5)
    raise TrainingError(
        "tool_died", f"The process that did the work ended {MAX_STARTS} times without a report.{log_tail(job_dir)}"
    )


def _settled(job_dir: Path, *, is_stopped: bool) -> ExitReport | None:
    """The report, unless it is of a tool that was stopped by somebody else: by a shutdown, or because it had stalled."""
    report = read_exit(job_dir)
    if report is not None and report.status != "cancelled":
        return report
    return ExitReport(status="cancelled") if is_stopped else None


async def _wait(process: ToolProcess, job_dir: Path, *, is_stopped: Callable[[], bool], stall_seconds: float) -> bool:
    """Until it has ended. Whether that was because it had stalled."""
    asked_at: float | None = None
    last_checks, changed_at = -1, time.monotonic()
    stalled = False
    while not process.has_ended():
        now = time.monotonic()
        beat = read_heartbeat(job_dir)
        if beat is not None and beat.num_checks != last_checks:
            last_checks, changed_at = beat.num_checks, now
        stalled = stalled or now - changed_at > stall_seconds
        if asked_at is None and (stalled or is_stopped()):
            asked_at = now
            process.send(signal.SIGTERM)
        elif asked_at is not None and now - asked_at > STOP_SECONDS:
            process.send(signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)
    return stalled


def log_tail(job_dir: Path) -> str:
    """The last lines of the tool's log, ready to stand behind a sentence; nothing when there are none."""
    try:
        with (job_dir / LOG_FILE).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", errors="replace").replace("\0", "\ufffd")
    except OSError:
        return ""
    lines = text.splitlines()[-_TAIL_LINES:]
    return "\nThe end of its log:\n" + "\n".join(lines) if lines else ""
