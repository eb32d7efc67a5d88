"""The last phase of a job: its adapter becomes a version of a registered model, once, whatever is killed in between.

The files come first, under a name that nobody reads; then one transaction gives them their version's name and writes the rows.
"""

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.adapters import ADAPTER, AdapterInfo, read_adapter
from mlx_hub.core.durable_files import publish_folder
from mlx_hub.core.run_files import ExitReport
from mlx_hub.core.run_reports import EVALUATION_FILE, EvaluationReport, read_report
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import JobStatus, Metric, PromotionRule, TrainingJob
from mlx_hub.models.registered_model import ModelAlias, ModelKind, RegisteredModel
from mlx_hub.services import aliases, outbox, versions
from mlx_hub.services.events import publish
from mlx_hub.services.job_claim import JobClaim, refuse_cancelled
from mlx_hub.services.registry import get_model
from mlx_hub.services.run_folder import adapters_folder
from mlx_hub.services.training_events import publish_job
from mlx_hub.services.training_prepare import JobInputs

LATEST, CHAMPION = "latest", "champion"
_SERVABLE = ("lora", "dora")
_NOT_SERVABLE = "A full fine-tune is not served as an adapter: export it as a fused model and register that."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has brought: how it ended, what evaluation found, or why that failed."""

    report: ExitReport
    evaluation: EvaluationReport | None
    evaluation_error: str | None

    @property
    def is_better(self) -> bool | None:
        """Than the base model, on the same rows; None when it was not measured."""
        return None if self.evaluation is None else self.evaluation.adapter.loss < self.evaluation.base.loss


@dataclass(slots=True)
class Registered:
    """The version and the aliases that moved to it, which the inference server is still to be told."""

    model_id: UUID
    version: int
    moved: list[str] = field(default_factory=list)


def read_outcome(run_dir: Path, report: ExitReport, evaluation: ExitReport | None) -> Outcome:
    """`evaluation` is how the comparison ended; None when its processes were killed."""
    if evaluation is None or evaluation.status != "completed":
        told = evaluation.error_message if evaluation else None
        return Outcome(report, None, told or "The comparison was killed; it may have needed too much memory.")
    found = read_report(run_dir / EVALUATION_FILE, EvaluationReport)
    return Outcome(report, found, None if found else "A loss of the comparison is not a number.")


async def register(claim: JobClaim, inputs: JobInputs, run_dir: Path, data_dir: Path, outcome: Outcome) -> Registered:
    """Complete the job with the version of its adapter.

    Raises LostJobError, CancelRequestedError, and TrainingError for an adapter that cannot be read.
    """
    part = adapters_folder(data_dir) / f".part-{claim.job_id}"
    info = await asyncio.to_thread(_copy, run_dir / ADAPTER, part)
    async with claim.transaction(phase=JobStatus.COMPLETED, error_code=None, error_message=None) as (session, job):
        refuse_cancelled(job)
        model = await _adapter_model(session, job, inputs.model)
        metrics = await _metrics(session, job, info, outcome)
        version = await versions.add_version(session, model.id, "", _lineage(job, inputs, metrics, outcome))
        folder = adapters_folder(data_dir) / str(model.id) / str(version.version)
        version.path, version.sha256, version.num_bytes = str(folder), info.sha256, info.size_bytes
        job.status, job.completed_at, job.model_version_id = JobStatus.COMPLETED, utc_now(), version.id
        job.step, job.num_steps = outcome.report.step, outcome.report.num_steps
        session.add_all([version, job])
        await session.flush()
        registered = Registered(model.id, version.version)
        outbox.add_version(session, model, version, job.id)
        if outcome.evaluation:
            outbox.log_artifacts(session, job.id, run_dir / EVALUATION_FILE, "evaluation")
        if metrics["is_servable"]:
            await _move_aliases(session, job, model, outcome, registered)
        outbox.end_run(session, job.id, JobStatus.COMPLETED)
        # A folder of that name is what an attempt left that was killed before its rows were written.
        await asyncio.to_thread(_publish, part, folder)
        await publish(session, "model", model.id, (await get_model(session, model.id)).model_dump(mode="json"))
        await publish_job(session, job)
    return registered


def _copy(adapter: Path, part: Path) -> AdapterInfo:
    """The run's adapter under another name; its files are never written again, so they are shared where the disk allows."""
    info = read_adapter(adapter)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file in adapter.iterdir():
        try:
            os.link(file, part / file.name)
        except OSError:
            shutil.copyfile(file, part / file.name)
    return info


def _publish(part: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    publish_folder(part, folder)


async def _adapter_model(session: AsyncSession, job: TrainingJob, base: RegisteredModel) -> RegisteredModel:
    """The registered model that the job names; when another base has taken the name meanwhile, one with the job's id in it."""
    spare_name = f"{job.adapter_name[:180]}-{job.id.hex[:12]}"
    for name in (job.adapter_name, spare_name):
        found = (await session.exec(select(RegisteredModel).where(col(RegisteredModel.name) == name))).one_or_none()
        if found is None:
            model = RegisteredModel(name=name, base_model=base.name, kind=ModelKind.ADAPTER, base_model_id=base.id)
            session.add(model)
            await session.flush()
            return model
        if is_adapter_of(found, base):
            return found
    raise AssertionError("a name with the job's id in it is the job's")


def is_adapter_of(model: RegisteredModel, base: RegisteredModel) -> bool:
    return model.kind == ModelKind.ADAPTER and model.base_model_id == base.id


def _lineage(job: TrainingJob, inputs: JobInputs, metrics: dict[str, Any], outcome: Outcome) -> versions.Lineage:
    return versions.Lineage(
        base_commit=inputs.base_commit,
        dataset_id=inputs.dataset.id,
        dataset_sha256=inputs.dataset.sha256,
        config=job.config,
        seed=job.config["seed"],
        code_version=code_version(),
        mlflow_run_id=job.mlflow_run_id,
        metrics=metrics,
        samples=msgspec.to_builtins(outcome.evaluation.samples) if outcome.evaluation else [],
    )


def code_version() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("mlx-hub", "mlx", "mlx-lm"))[:64]


async def _metrics(session: AsyncSession, job: TrainingJob, info: AdapterInfo, outcome: Outcome) -> dict[str, Any]:
    """Of the version: how well it does, and what it is."""
    of_loss = (col(Metric.job_id) == job.id, col(Metric.name) == "train_loss")
    losses = select(Metric.value).where(*of_loss).order_by(col(Metric.step).desc()).limit(1)
    report, evaluation = outcome.report, outcome.evaluation
    is_servable = info.fine_tune_type in _SERVABLE
    return {
        "train_loss": (await session.exec(losses)).first(),
        "base_loss": evaluation.base.loss if evaluation else None,
        "adapter_loss": evaluation.adapter.loss if evaluation else None,
        "base_perplexity": evaluation.base.perplexity if evaluation else None,
        "adapter_perplexity": evaluation.adapter.perplexity if evaluation else None,
        "is_better": outcome.is_better,
        "is_held_out": evaluation.is_held_out if evaluation else None,
        "num_evaluated_rows": evaluation.num_rows if evaluation else 0,
        "evaluation_error": outcome.evaluation_error,
        "step": report.adapter_step,
        "num_steps": report.num_steps,
        "best_step": report.best_step,
        "best_val_loss": report.best_val_loss,
        "stopped_early": report.stopped_early,
        "num_train_rows": report.num_train_rows,
        "num_held_out_rows": report.num_held_out_rows,
        "num_parameters": info.num_parameters,
        "fine_tune_type": info.fine_tune_type,
        "is_servable": is_servable,
        "note": None if is_servable else _NOT_SERVABLE,
    }


async def _move_aliases(
    session: AsyncSession, job: TrainingJob, model: RegisteredModel, outcome: Outcome, registered: Registered
) -> None:
    names = [LATEST, CHAMPION] if await _becomes_champion(session, job, model, outcome) else [LATEST]
    for alias in names:
        await aliases.move_alias(session, model.id, alias, registered.version)
        outbox.move_alias(session, model.name, alias, registered.version)
    registered.moved = names


async def _becomes_champion(session: AsyncSession, job: TrainingJob, model: RegisteredModel, outcome: Outcome) -> bool:
    """The first one has to be better than the base model."""
    if job.promotion != PromotionRule.IF_FIRST:
        return job.promotion == PromotionRule.ALWAYS
    champion = select(ModelAlias.id).where(col(ModelAlias.model_id) == model.id, col(ModelAlias.alias) == CHAMPION)
    return outcome.is_better is True and (await session.exec(champion)).first() is None
