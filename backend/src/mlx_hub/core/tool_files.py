"""What a tool process is told, `task.json`, and answers while it works. Needs no MLX, so the worker writes and reads it."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from mlx_hub.core.durable_files import write_atomically
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.run_config import Text, TrainingError

TASK_FILE, PROGRESS_FILE, RESULT_FILE, LOG_FILE = "task.json", "progress.json", "result.json", "tool.log"


class FuseSpec(msgspec.Struct, frozen=True, kw_only=True, tag="fuse", tag_field="kind"):
    """Put an adapter into its base model's weights."""

    model_path: Text
    adapter_path: Text
    output_path: Text
    lineage: Lineage


class QuantiseSpec(msgspec.Struct, frozen=True, kw_only=True, tag="quantise", tag_field="kind"):
    """Quantise a model. Without a `group_size` the largest that fits; without a `dataset_file` a text of our own is measured."""

    model_path: Text
    output_path: Text
    bits: Literal[4, 8]
    group_size: Literal[32, 64, 128] | None = None
    dataset_file: Text | None = None
    lineage: Lineage


ToolSpec = FuseSpec | QuantiseSpec


class Progress(msgspec.Struct, frozen=True):
    """`progress` is the share of the work that is done, 0 to 1."""

    phase: str
    progress: float


def write_spec(job_dir: Path, spec: ToolSpec) -> None:
    """Write `task.json`, making the folder."""
    job_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(job_dir / TASK_FILE, msgspec.json.encode(spec))


def read_spec(job_dir: Path) -> ToolSpec:
    """Raises TrainingError `invalid_task` when `task.json` is absent or wrong."""
    try:
        return msgspec.json.decode((job_dir / TASK_FILE).read_bytes(), type=ToolSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError("invalid_task", f"{TASK_FILE} cannot be read: {error}") from error


def write_progress(job_dir: Path, progress: Progress) -> None:
    """A full disk, which stops the work elsewhere, is no reason to stop it here."""
    part = job_dir / f".{PROGRESS_FILE}.part"
    try:
        part.write_bytes(msgspec.json.encode(progress))
        part.replace(job_dir / PROGRESS_FILE)
    except OSError:
        return


def read_progress(job_dir: Path) -> Progress | None:
    try:
        return msgspec.json.decode((job_dir / PROGRESS_FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return None


def write_result(job_dir: Path, result: dict[str, Any]) -> None:
    """What the task tells when it is completed; it is there before the exit report says so."""
    write_atomically(job_dir / RESULT_FILE, msgspec.json.encode(result))


def read_result(job_dir: Path) -> dict[str, Any]:
    """Raises TrainingError `bad_export` when it is not there, as after a disk failure."""
    try:
        return msgspec.json.decode((job_dir / RESULT_FILE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError("bad_export", f"{RESULT_FILE} cannot be read: {error}") from error
