"""Brings one tool of `core` to its end: starts or adopts it, stops it when asked, starts it again when it hangs or dies.

It works in a job folder, reads `task.json` there, and ends with `exit.json`. Used by one coroutine.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_FILE,
    LOCKED_EXIT_CODE,
    ExitReport,
    read_exit,
    read_heartbeat,
)
from mlx_hub.core.tool_files import LOG_FILE
from mlx_hub.services.detached_process import DetachedProcess, Program, bound_log, read_log_tail

POLL_SECONDS = 0.2
STOP_SECONDS = 30.0
"""A tool that was asked to stop and still runs after so long is killed."""
MAX_STARTS = 3
_TAIL_BYTES = 6000
_TAIL_LINES = 40

log = structlog.get_logger(__name__)


async def run_tool(job_dir: Path, module: str, *, is_stopped: Callable[[], bool], stall_seconds: float) -> ExitReport:
    """Start the tool, or adopt the one at work there, and wait for its report; `is_stopped` is asked all the time.

    One that dies without a report, or passes no safe point for `stall_seconds`, is started again, `MAX_STARTS` times in
    all. Then raises TrainingError with the end of its log. Cancelled, it leaves the tool at work.
    """
    for _ in range(MAX_STARTS):
        process = DetachedProcess.find(job_dir)
        if process is None:
            if report := _settled(job_dir, is_stopped=is_stopped()):
                return report
            (job_dir / EXIT_FILE).unlink(missing_ok=True)
            process = DetachedProcess.start(Program(module, LOG_FILE), job_dir)
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
    if report is not None and report.status != "stopped":
        return report
    return ExitReport(status="stopped") if is_stopped else None


async def _wait(process: DetachedProcess, job_dir: Path, *, is_stopped: Callable[[], bool], stall_seconds: float) -> bool:
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
        bound_log(job_dir / LOG_FILE)
        await asyncio.sleep(POLL_SECONDS)
    return stalled


def log_tail(job_dir: Path) -> str:
    """The last lines of the tool's log, ready to stand behind a sentence; nothing when there are none."""
    lines = read_log_tail(job_dir / LOG_FILE, _TAIL_LINES, max_bytes=_TAIL_BYTES)
    return "\nThe end of its log:\n" + "\n".join(lines) if lines else ""
