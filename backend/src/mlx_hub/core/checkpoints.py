"""Checkpoints of a run: `ckpt/step-N/`, published by one rename, verified by digest, the newest and the best kept.

Who writes the arrays is the trainer's business; this module needs no MLX and the worker may read with it.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlx_hub.core.durable_files import files_in, publish_folder, write_atomically

CHECKPOINTS = "ckpt"
STATE_FILE = "state.json"
_PREFIX = "step-"
_PART_PREFIX = ".part-"


class Progress(msgspec.Struct, kw_only=True):
    """How far a run is, after `step` whole steps. `last_eval_step` None is before the first evaluation."""

    step: int = 0
    trained_tokens: int = 0
    last_eval_step: int | None = None
    best_step: int | None = None
    best_val_loss: float | None = None
    evals_without_gain: int = 0


class CheckpointState(msgspec.Struct, kw_only=True, frozen=True):
    """`state.json`. `fingerprint` is of all that the weights depend on; `files` maps names to sha256."""

    progress: Progress
    fingerprint: str
    files: dict[str, str]


def save_checkpoint(run_dir: Path, progress: Progress, *, fingerprint: str, write: Callable[[Path], None]) -> Path:
    """Publish what `write` puts into the folder it is given. Either the whole checkpoint is visible or nothing of it.

    A whole checkpoint of the same step has the same arrays, as a step follows from the seed; only its progress is renewed.
    """
    target = checkpoint_folder(run_dir, progress.step)
    present = read_checkpoint(target)
    if present is not None and present.fingerprint == fingerprint:
        renewed = CheckpointState(progress=progress, fingerprint=fingerprint, files=present.files)
        write_atomically(target / STATE_FILE, msgspec.json.encode(renewed))
        return target
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    part = root / f"{_PART_PREFIX}{progress.step}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        write(part)
        files = {file.name: _sha256(file) for file in files_in(part)}
        state = CheckpointState(progress=progress, fingerprint=fingerprint, files=files)
        (part / STATE_FILE).write_bytes(msgspec.json.encode(state))
        publish_folder(part, target)
    except BaseException:
        # On a full disk the half of a checkpoint takes the room that the report on it needs.
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def checkpoint_folder(run_dir: Path, step: int) -> Path:
    return run_dir / CHECKPOINTS / f"{_PREFIX}{step}"


def newest_checkpoint(run_dir: Path) -> tuple[Path, CheckpointState] | None:
    """The newest checkpoint whose files are whole; torn ones are passed over."""
    for step in sorted(_steps(run_dir), reverse=True):
        folder = checkpoint_folder(run_dir, step)
        state = read_checkpoint(folder)
        if state is not None:
            return folder, state
    return None


def read_checkpoint(folder: Path) -> CheckpointState | None:
    """None when a file is missing, altered or cut short."""
    try:
        state = msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=CheckpointState)
        is_whole = all(_sha256(folder / name) == digest for name, digest in state.files.items())
    except (OSError, msgspec.DecodeError):
        return None
    return state if is_whole else None


def prune_checkpoints(run_dir: Path, *, keep: int, best_step: int | None) -> None:
    """Delete all but the newest `keep` and the one of `best_step`, and what a killed process left behind."""
    steps = sorted(_steps(run_dir))
    for step in set(steps[:-keep]) - {best_step}:
        shutil.rmtree(checkpoint_folder(run_dir, step), ignore_errors=True)
    for part in (run_dir / CHECKPOINTS).glob(f"{_PART_PREFIX}*"):
        shutil.rmtree(part, ignore_errors=True)


def _steps(run_dir: Path) -> list[int]:
    names = [folder.name.removeprefix(_PREFIX) for folder in (run_dir / CHECKPOINTS).glob(f"{_PREFIX}*")]
    return [int(name) for name in names if name.isdecimal()]


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
