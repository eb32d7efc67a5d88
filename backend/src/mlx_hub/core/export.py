"""The tool process of tasks that need MLX: `python -m mlx_hub.core.export JOB_DIR`.

It reads `task.json` and answers with files alone: `heartbeat`, `progress.json`, the output folder, `result.json`, and `exit.json`
last. The exit status is that of `folder_work`.
"""

import argparse
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from mlx_hub.core.adapter_export import part_of
from mlx_hub.core.folder_work import FolderWork, do_work, start_logs
from mlx_hub.core.fuse import fuse
from mlx_hub.core.quantise import quantise
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import ExitReport
from mlx_hub.core.tool import Tool
from mlx_hub.core.tool_files import FuseSpec, read_spec, write_result


def main(arguments: list[str] | None = None) -> int:
    """Do what the folder's `task.json` asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job_dir", type=Path)
    return do_work(parser.parse_args(arguments).job_dir, _make)


def _make(work: FolderWork) -> ExitReport:
    tool = Tool(work.folder, work.stop)
    try:
        spec = read_spec(work.folder)
        write_result(work.folder, fuse(spec, tool) if isinstance(spec, FuseSpec) else quantise(spec, tool))
    except BaseException:
        # On a full disk this makes the room for the report.
        _discard_part(work.folder)
        raise
    return ExitReport(status="completed")


def _discard_part(job_dir: Path) -> None:
    with suppress(TrainingError):
        shutil.rmtree(part_of(Path(read_spec(job_dir).output_path)), ignore_errors=True)


if __name__ == "__main__":
    start_logs("tool")
    sys.exit(main())
