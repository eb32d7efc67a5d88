"""Where a job's run and an adapter's versions lie in the data folder."""

import shutil
from pathlib import Path
from uuid import UUID

from mlx_hub.core.adapters import ADAPTER
from mlx_hub.core.checkpoints import CHECKPOINTS
from mlx_hub.core.run_files import EXIT_FILES, LOG_FILE, METRICS_FILE
from mlx_hub.core.run_reports import EVALUATION_FILE, PROBE_FILE
from mlx_hub.services.trainer_watch import RESTARTS_FILE

_RESULTS = (PROBE_FILE, EVALUATION_FILE, RESTARTS_FILE, *EXIT_FILES.values())
"""What one attempt has found out: another finds it out anew."""


def run_folder(data_dir: Path, job_id: UUID) -> Path:
    return data_dir / "runs" / str(job_id)


def adapters_folder(data_dir: Path) -> Path:
    """Holds `<id of the registered model>/<version>`."""
    return data_dir / "adapters"


def clear_results(run_dir: Path) -> None:
    """Before another attempt goes on from the run's checkpoints."""
    for name in _RESULTS:
        (run_dir / name).unlink(missing_ok=True)


def clear_run(run_dir: Path) -> None:
    """Before a run begins at step 0: nothing of an earlier one stays."""
    clear_results(run_dir)
    for name in (METRICS_FILE, LOG_FILE):
        (run_dir / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, ADAPTER):
        shutil.rmtree(run_dir / name, ignore_errors=True)


def remove_run(data_dir: Path, job_id: UUID) -> None:
    """Delete the folder of a job that is gone."""
    shutil.rmtree(run_folder(data_dir, job_id), ignore_errors=True)
