"""The first phase of a job: what it needs is there and unchanged, its rows can be learned, and a real step fits into memory."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from mlx_hub.core.preflight import PreflightReport, RunWarning, run_preflight
from mlx_hub.core.run_config import RunSpec, TrainingError, parse_config, write_run
from mlx_hub.core.run_reports import PROBE_FILE, ProbeReport, read_report
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import TrainingJob
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.detached_process import DetachedProcess
from mlx_hub.services.run_folder import clear_results, clear_run
from mlx_hub.services.trainer_watch import TrainerEnd

MAX_PREFLIGHT_SECONDS = 600.0
"""After it the report is on the rows read by then."""
_GRACE_SECONDS = 120.0
_PREFLIGHT_BYTES = 16 * 2**30
_MAX_STORED_PROBLEMS = 100
_WILD_ESTIMATE = 1.5
"""Times the machine's memory; below it the measured steps decide, as the formula errs by some ten percent."""
_FULL_SHARE, _TIGHT_SHARE = 0.95, 0.8
"""Of the device's memory, for what was measured."""


@dataclass(frozen=True, slots=True)
class JobInputs:
    """What a job is made from. `base_commit` is None for a model that did not come from a hub."""

    job: TrainingJob
    model: RegisteredModel
    dataset: Dataset
    model_path: Path
    base_commit: str | None

    def spec(self) -> RunSpec:
        config = parse_config(self.job.config)
        return RunSpec(model_path=str(self.model_path), train_files=(self.dataset.path,), config=config)


def has_passed(job: TrainingJob) -> bool:
    """Whether the run passed its checks before, so that its folder holds a run to go on with."""
    return bool(job.preflight) and job.preflight.get("refusal_code") is None


def is_prepared(job: TrainingJob) -> bool:
    """Whether the present attempt has been through `prepare_run`, so that what its folder holds is its own."""
    return has_passed(job) and job.preflight.get("prepared_attempt") == job.attempt


async def prepare_run(
    inputs: JobInputs, run_dir: Path, core: CoreProcesses, *, probe: Callable[[], Awaitable[TrainerEnd]]
) -> dict[str, Any]:
    """Write the run's folder and give the report for the job's row, which may be a refusal.

    May be called again after it was interrupted anywhere. `probe` runs the trainer's measured steps. Raises TrainingError,
    and OSError when the folder cannot be written.
    """
    await asyncio.to_thread(_check_dataset, inputs.dataset)
    if has_passed(inputs.job):
        return await asyncio.to_thread(_continue, inputs, run_dir)
    await asyncio.to_thread(clear_run, run_dir)
    spec = inputs.spec()
    report = await core.run(
        run_preflight,
        spec,
        MAX_PREFLIGHT_SECONDS,
        timeout_seconds=MAX_PREFLIGHT_SECONDS + _GRACE_SECONDS,
        memory_limit_bytes=_PREFLIGHT_BYTES,
    )
    report = refuse_wild_estimate(report, memory_bytes=psutil.virtual_memory().total)
    if report.refusal_code is not None:
        return stored_report(report, base_commit=inputs.base_commit)
    await asyncio.to_thread(write_run, run_dir, spec)
    end = await probe()
    report, measured = _judge(report, end, read_report(run_dir / PROBE_FILE, ProbeReport))
    return {**stored_report(report, base_commit=inputs.base_commit), "probe": measured}


def _check_dataset(dataset: Dataset) -> None:
    """Raises TrainingError when the file is not the one that was uploaded."""
    try:
        with Path(dataset.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError("dataset_missing", f"The file of the dataset {dataset.name!r} cannot be read: {error}") from error
    if digest != dataset.sha256:
        message = f"The file of the dataset {dataset.name!r} is not what was uploaded; upload it again as another dataset."
        raise TrainingError("dataset_changed", message)


def _continue(inputs: JobInputs, run_dir: Path) -> dict[str, Any]:
    """Another attempt at a run that passed its checks."""
    report = inputs.job.preflight
    if report.get("base_commit") != inputs.base_commit:
        message = f"{inputs.model.name!r} is of another commit than when the run began; retry to begin again with the new one."
        raise TrainingError("model_changed", message)
    if DetachedProcess.find(run_dir) is None:
        clear_results(run_dir)
    write_run(run_dir, inputs.spec())
    return report


def refuse_wild_estimate(report: PreflightReport, *, memory_bytes: int) -> PreflightReport:
    """The same, or refused because the estimate is far above the machine's memory, and with a warning when it is above."""
    if report.refusal_code is not None or report.total_memory_bytes <= memory_bytes:
        return report
    told = f"The run will need about {_gigabytes(report.total_memory_bytes)} of {_gigabytes(memory_bytes)} of memory"
    advice = "lower batch_size or max_seq_length, turn gradient_checkpointing on, or choose a smaller model"
    if report.total_memory_bytes > _WILD_ESTIMATE * memory_bytes:
        return msgspec.structs.replace(report, refusal_code="not_enough_memory", refusal=f"{told}: {advice}.")
    return _with_warning(report, "memory_estimate", f"{told}, by a rough estimate: {advice} if it fails.")


def _judge(report: PreflightReport, end: TrainerEnd, measured: ProbeReport | None) -> tuple[PreflightReport, dict[str, Any]]:
    """What the measured steps say of the run."""
    if end.report.status != "completed" or measured is None:
        code = end.report.error_code or "probe_failed"
        message = end.report.error_message or "The trainer could not do a step."
        if code == "trainer_died":
            code, message = "not_enough_memory", f"{message} It happened in a trial step on the longest rows."
        return msgspec.structs.replace(report, refusal_code=code, refusal=message), {}
    peak, device = measured.peak_memory_bytes, measured.device_memory_bytes
    told = f"A step on the longest rows takes {_gigabytes(peak)} of {_gigabytes(device)} of memory"
    if peak > _FULL_SHARE * device:
        advice = "lower batch_size or max_seq_length, or turn gradient_checkpointing on"
        report = msgspec.structs.replace(report, refusal_code="not_enough_memory", refusal=f"{told}: {advice}.")
    elif peak > _TIGHT_SHARE * device:
        report = _with_warning(report, "memory_tight", f"{told}: close other programs.")
    return report, msgspec.to_builtins(measured)


def stored_report(report: PreflightReport, *, base_commit: str | None) -> dict[str, Any]:
    """As it is kept in the job's row, with the first problems only."""
    kept = msgspec.structs.replace(report, problems=report.problems[:_MAX_STORED_PROBLEMS])
    return {**msgspec.to_builtins(kept), "base_commit": base_commit}


def _with_warning(report: PreflightReport, code: str, message: str) -> PreflightReport:
    warning = RunWarning(code=code, message=message, count=1, lines=[])
    return msgspec.structs.replace(report, warnings=[*report.warnings, warning])


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
