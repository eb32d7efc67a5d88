"""What MLflow shall be told, written into the caller's transaction; `tracking` tells it later, in order.

Nothing here waits or needs MLflow: each function adds one row to the session. The payloads are a frozen format, as rows
may be older than the code that reads them:

    start_run      {job_id, name, adapter_name, params {name: text}, run_key or null, started_at}
    metrics        {job_id, points [{step, t, name: number…}]}
    end_run        {job_id, status, ended_at}
    artifacts      {job_id, folder, artifact_path}
    add_version    {model_name, description, version, version_id, folder, job_id}
    move_alias     {model_name, alias, version or null}

Times are Unix seconds. A number that JSON cannot say is its text: NaN, inf, -inf. `subject_id` is the job's id or the
model's name: rows of one subject are told in the order of their ids.
"""

import math
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.job import JobStatus, Outbox, TrainingJob
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel

_MAX_SUBJECT_CHARACTERS = 64


class OutboxKind(StrEnum):
    """What a row asks for."""

    START_RUN = "start_run"
    METRICS = "metrics"
    END_RUN = "end_run"
    ARTIFACTS = "artifacts"
    ADD_VERSION = "add_version"
    MOVE_ALIAS = "move_alias"


def start_run(session: AsyncSession, job: TrainingJob, params: Mapping[str, object], *, starts_over: bool = False) -> None:
    """The job runs, for the first time or again. Its parameters are logged once; those known already stay as they are.

    `starts_over` for a job that was asked to begin again at step 0: its curves go to a new MLflow run.
    """
    payload = {
        "job_id": str(job.id),
        "name": job.name,
        "adapter_name": job.adapter_name,
        "params": {name: str(value) for name, value in params.items()},
        "run_key": f"{job.id}:{job.attempt}" if starts_over else None,
        "started_at": time.time(),
    }
    _add(session, OutboxKind.START_RUN, job.id, payload)


def log_metrics(session: AsyncSession, job_id: UUID, points: Sequence[Mapping[str, float]]) -> None:
    """Lines of `metrics.jsonl`: each has `step`, `t` (Unix seconds) and numbers by name. Telling one twice changes nothing."""
    if points:
        told = [{name: _json_number(value) for name, value in point.items()} for point in points]
        _add(session, OutboxKind.METRICS, job_id, {"job_id": str(job_id), "points": told})


def end_run(session: AsyncSession, job_id: UUID, status: JobStatus) -> None:
    """The job ended as completed, failed or cancelled; `start_run` opens its run again."""
    _add(session, OutboxKind.END_RUN, job_id, {"job_id": str(job_id), "status": str(status), "ended_at": time.time()})


def log_artifacts(session: AsyncSession, job_id: UUID, folder: Path, artifact_path: str) -> None:
    """The files of `folder` (absolute), or the one file that it names, below `artifact_path` of the job's run.

    They must stay there until they are told; files that are gone by then are left out, with a line in the log.
    """
    payload = {"job_id": str(job_id), "folder": str(folder), "artifact_path": artifact_path}
    _add(session, OutboxKind.ARTIFACTS, job_id, payload)


def add_version(session: AsyncSession, model: RegisteredModel, version: ModelVersion, job_id: UUID) -> None:
    """The job made this version of the model: MLflow gets its files, as `adapter/v<version>` of the job's run, and a version.

    The files come along from `version.path`: `log_artifacts` is for other files.
    """
    payload = {
        "model_name": model.name,
        "description": model.description,
        "version": version.version,
        "version_id": str(version.id),
        "folder": version.path,
        "job_id": str(job_id),
    }
    _add(session, OutboxKind.ADD_VERSION, job_id, payload)


def move_alias(session: AsyncSession, model_name: str, alias: str, version_number: int | None) -> None:
    """The alias of the model points to that version now, or to nothing for None."""
    payload = {"model_name": model_name, "alias": alias, "version": version_number}
    _add(session, OutboxKind.MOVE_ALIAS, model_name[:_MAX_SUBJECT_CHARACTERS], payload)


def _add(session: AsyncSession, kind: OutboxKind, subject_id: object, payload: dict[str, Any]) -> None:
    session.add(Outbox(kind=kind, subject_id=str(subject_id), payload=payload))


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))
