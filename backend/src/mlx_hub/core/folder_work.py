"""A piece of work in a folder of its own, as one process does it: locked, with a heartbeat, and a report of how it ended.

The programs `core.train` and `core.export` end with the status that `do_work` gives: 0 completed, or stopped by SIGTERM with
everything saved; 1 failed; 4 refused because another process holds the folder; 5 failed on a disk without room for the report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from mlx_hub.config import LogSettings
from mlx_hub.core.durable_files import is_disk_full, write_atomically
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_CODES,
    EXIT_FILES,
    LOCKED_EXIT_CODE,
    ExitReport,
    HeartbeatWriter,
    Mode,
    run_lock,
)
from mlx_hub.core.stopping import StopRequest, StopRequestedError
from mlx_hub.observability.logs import configure_logs

_MAX_MESSAGE_CHARACTERS = 2000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FolderWork:
    """What the work has to do with: its folder, people's wish that it stops, and where it says how far it is."""

    folder: Path
    stop: StopRequest
    heartbeat: HeartbeatWriter


def start_logs(component: str) -> None:
    """As the environment says, with the ids that the process's starter gave it in each event.

    What ends up in a file here is read by people, beside the job in the dashboard: text, unless JSON is asked for.
    """
    settings = LogSettings()
    configure_logs(component=component, level=settings.level, style="text" if settings.format == "auto" else settings.format)
    structlog.contextvars.bind_contextvars(**settings.context)


def do_work(folder: Path, work: Callable[[FolderWork], ExitReport], *, mode: Mode = "train") -> int:
    """Do it, or as much as is done when a signal stops it, and say in the exit file of `mode` how it ended.

    Returns the exit status. For the main thread of a process that does nothing else.
    """
    stop = StopRequest()
    stop.listen()
    try:
        with run_lock(folder):
            heartbeat = HeartbeatWriter(folder, mode=mode, stop=stop)
            report = _report(FolderWork(folder, stop, heartbeat), work, folder / EXIT_FILES[mode])
    except TrainingError as error:
        log.warning("work_refused", code=error.code, reason=error.message)
        return LOCKED_EXIT_CODE
    except OSError as error:
        if not is_disk_full(error):
            raise
        log.error("disk_full", reason=str(error))
        return DISK_FULL_EXIT_CODE
    return EXIT_CODES[report.status]


def _report(work: FolderWork, do: Callable[[FolderWork], ExitReport], exit_file: Path) -> ExitReport:
    """What `do` ends with, also when it raises, which is in `exit_file` then. Until then there is a heartbeat."""
    exit_file.unlink(missing_ok=True)
    work.heartbeat.start()
    try:
        report = do(work)
    except StopRequestedError:
        report = ExitReport(status="stopped")
    except TrainingError as error:
        log.warning("work_failed", code=error.code, reason=error.message)
        report = ExitReport(status="failed", error_code=error.code, error_message=error.message)
    except Exception as error:
        log.exception("work_crashed")
        message = str(error)[:_MAX_MESSAGE_CHARACTERS]
        report = ExitReport(status="failed", step=work.heartbeat.step, error_code=crash_code(error), error_message=message)
    work.heartbeat.stop()
    write_atomically(exit_file, msgspec.json.encode(report))
    return report


def crash_code(error: Exception) -> str:
    """Sorts the errors of MLX, which are all RuntimeErrors, by their wording (mlx 0.32)."""
    text = str(error).lower()
    if is_disk_full(error):
        return "storage_full"
    if isinstance(error, MemoryError) or "memory" in text or "malloc" in text:
        return "out_of_memory"
    if "impactinginteractivity" in text:
        return "gpu_watchdog"
    return "internal_error"
