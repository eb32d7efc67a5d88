"""`/training`: jobs that train adapters. A worker does the work; what it did so far survives whatever is killed."""

from typing import Annotated
from uuid import UUID

import msgspec
import psutil
from fastapi import APIRouter, Query

from mlx_hub.api.access import COMPUTE, READ, WRITE
from mlx_hub.api.deps import KeyedRequestDep, PageDep, ServicesDep, SessionDep
from mlx_hub.api.problems import documented_errors
from mlx_hub.api.training_schemas import LogPublic, MetricsPublic, PreflightPublic, TrainingCreate, TrainingExtend
from mlx_hub.models.base import Page
from mlx_hub.models.job import JobStatus
from mlx_hub.services import training
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.idempotency import answer_once
from mlx_hub.services.job_claim import get_job
from mlx_hub.services.metrics_series import read_series
from mlx_hub.services.training_events import TrainingJobDetails, TrainingJobPublic
from mlx_hub.services.training_preflight import preflight_job

router = APIRouter(prefix="/training", tags=["Training"])


@router.post("", status_code=201, summary="Train an adapter", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def create_job(
    body: TrainingCreate, session: SessionDep, services: ServicesDep, request: KeyedRequestDep
) -> TrainingJobDetails:
    """Queues a job. 409 when the model is not downloaded, or when `adapter_name` belongs to something else."""
    folder = CacheFolder(services.settings.model_cache_dir)

    async def work() -> TrainingJobDetails:
        return await training.create_job(session, folder, body.wanted(), store_id=services.store_id)

    return await answer_once(session, request, TrainingJobDetails, work)


@router.post("/preflight", summary="What a job would do", responses=documented_errors(404, 409), openapi_extra=COMPUTE)
async def preflight(body: TrainingCreate, services: ServicesDep) -> PreflightPublic:
    """Reads the rows as the trainer will: which it cannot use, with their lines, lengths, steps, memory. Stores nothing.

    For a dataset that takes longer than 45 seconds the report is on the rows read by then; `is_partial` says so.
    """
    memory_bytes = psutil.virtual_memory().total
    folder = CacheFolder(services.settings.model_cache_dir)
    report, commit = await preflight_job(services.sessions, folder, services.core, body.wanted(), memory_bytes=memory_bytes)
    return PreflightPublic(report=msgspec.to_builtins(report), base_commit=commit, machine_memory_bytes=memory_bytes)


@router.get("", summary="List training jobs", responses=documented_errors(), openapi_extra=READ)
async def list_jobs(
    session: SessionDep,
    page: PageDep,
    status: Annotated[list[JobStatus] | None, Query(description="Only these; may be given several times.")] = None,
    model_id: Annotated[UUID | None, Query(description="Only jobs on this base model.")] = None,
    dataset_id: UUID | None = None,
) -> Page[TrainingJobPublic]:
    """The newest first."""
    return await training.list_jobs(session, training.JobFilter(status or (), model_id, dataset_id), page)


@router.get("/{job_id}", summary="One training job", responses=documented_errors(404), openapi_extra=READ)
async def get_training_job(job_id: UUID, session: SessionDep) -> TrainingJobDetails:
    """With its progress, the report of its checks, and why it failed."""
    return await training.read_job(session, job_id)


@router.delete(
    "/{job_id}", status_code=204, summary="Delete a training job", responses=documented_errors(404, 409), openapi_extra=WRITE
)
async def delete_job(job_id: UUID, services: ServicesDep) -> None:
    """With its metrics, log and checkpoints; the versions that it made stay. 409 while it is queued or running."""
    await training.delete_job(services.sessions, services.settings.data_dir, job_id)


@router.post("/{job_id}/cancel", summary="Cancel a training job", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def cancel_job(job_id: UUID, session: SessionDep) -> TrainingJobDetails:
    """A queued one ends at once, a running one soon: it saves what it has, to be resumed. 409 for one that has ended."""
    return await training.cancel_job(session, job_id)


@router.post("/{job_id}/resume", summary="Resume a training job", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def resume_job(job_id: UUID, session: SessionDep, request: KeyedRequestDep) -> TrainingJobDetails:
    """One that failed or was cancelled goes on from its newest checkpoint, as if nothing had happened."""
    return await answer_once(session, request, TrainingJobDetails, lambda: training.resume_job(session, job_id))


@router.post("/{job_id}/extend", summary="Train on", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def extend_job(job_id: UUID, body: TrainingExtend, session: SessionDep, request: KeyedRequestDep) -> TrainingJobDetails:
    """A completed one goes on until it has so many steps or epochs in all; the result is another version."""

    async def work() -> TrainingJobDetails:
        return await training.extend_job(session, job_id, steps=body.steps, epochs=body.epochs)

    return await answer_once(session, request, TrainingJobDetails, work)


@router.post("/{job_id}/retry", summary="Train again", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def retry_job(job_id: UUID, session: SessionDep, request: KeyedRequestDep) -> TrainingJobDetails:
    """One that has ended begins again at step 0; its metrics and checkpoints go."""
    return await answer_once(session, request, TrainingJobDetails, lambda: training.retry_job(session, job_id))


@router.get("/{job_id}/metrics", summary="Curves of a training job", responses=documented_errors(404), openapi_extra=READ)
async def get_metrics(
    job_id: UUID,
    session: SessionDep,
    name: Annotated[list[str] | None, Query(max_length=50, description="Such as train_loss; may be given several times.")] = None,
    max_points: Annotated[int, Query(ge=3, le=5000, description="Of each curve; chosen so that its shape stays.")] = 500,
) -> MetricsPublic:
    """While it runs the new points come as `metrics` events."""
    await get_job(session, job_id)
    return MetricsPublic(series=await read_series(session, job_id, names=name or (), max_points=max_points))


@router.get("/{job_id}/logs", summary="Log of a training job", responses=documented_errors(404), openapi_extra=READ)
async def get_log(
    job_id: UUID, session: SessionDep, services: ServicesDep, lines: Annotated[int, Query(ge=1, le=2000)] = 200
) -> LogPublic:
    """The last lines that its trainer has written."""
    return LogPublic(lines=await training.read_log(session, services.settings.data_dir, job_id, num_lines=lines))
