"""The tool process of tasks that need MLX: `python -m mlx_hub.core.export JOB_DIR`.

It reads `task.json` and answers with files alone: `heartbeat`, `progress.json`, the output folder, `result.json`, and `exit.json`
last. Exit status: 0 completed, 1 failed, 3 cancelled by SIGTERM, 4 refused because another process holds the folder, 5 failed
on a disk without room for the report.
"""

import argparse
import errno
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from mlx_hub.core.adapter_export import part_of
from mlx_hub.core.checkpoints import write_atomically
from mlx_hub.core.fuse import fuse
from mlx_hub.core.quantise import quantise
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import (
    DISK_FULL_EXIT_CODE,
    EXIT_CODES,
    EXIT_FILE,
    LOCKED_EXIT_CODE,
    ExitReport,
    HeartbeatWriter,
    run_lock,
)
from mlx_hub.core.stopping import StopRequest, StopRequestedError
from mlx_hub.core.tool import Tool
from mlx_hub.core.tool_files import FuseSpec, read_spec, write_result

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = structlog.get_logger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Do what the folder's `task.json` asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job_dir", type=Path)
    job_dir: Path = parser.parse_args(arguments).job_dir
    stop = StopRequest()
    stop.listen()
    try:
        with run_lock(job_dir):
            report = _run(Tool(job_dir, stop))
    except TrainingError as error:
        log.warning("task_refused", code=error.code, reason=error.message)
        return LOCKED_EXIT_CODE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        log.error("disk_full", reason=str(error))
        return DISK_FULL_EXIT_CODE
    return EXIT_CODES[report.status]


def _run(tool: Tool) -> ExitReport:
    """Work with a heartbeat, and say in the exit file how it ended."""
    (tool.job_dir / EXIT_FILE).unlink(missing_ok=True)
    heartbeat = HeartbeatWriter(tool.job_dir, stop=tool.stop)
    heartbeat.start()
    try:
        spec = read_spec(tool.job_dir)
        write_result(tool.job_dir, fuse(spec, tool) if isinstance(spec, FuseSpec) else quantise(spec, tool))
        report = ExitReport(status="completed")
    except StopRequestedError:
        report = ExitReport(status="cancelled")
    except TrainingError as error:
        log.warning("task_failed", code=error.code, reason=error.message)
        report = ExitReport(status="failed", error_code=error.code, error_message=error.message)
    except Exception as error:
        log.exception("task_crashed")
        report = ExitReport(status="failed", error_code=_crash_code(error), error_message=str(error)[:2000])
    heartbeat.stop()
    if report.status != "completed":
        _discard_part(tool.job_dir)
    write_atomically(tool.job_dir / EXIT_FILE, msgspec.json.encode(report))
    return report


def _discard_part(job_dir: Path) -> None:
    """On a full disk this makes the room for the report."""
    with suppress(TrainingError):
        shutil.rmtree(part_of(Path(read_spec(job_dir).output_path)), ignore_errors=True)


def _crash_code(error: Exception) -> str:
    """Sorts the errors of MLX, which are all RuntimeErrors, by their wording (mlx 0.32)."""
    text = str(error).lower()
    if (isinstance(error, OSError) and error.errno in _FULL) or "unable to write" in text:
        return "storage_full"
    if "memory" in text or "malloc" in text:
        return "out_of_memory"
    return "internal_error"


if __name__ == "__main__":
    sys.exit(main())
