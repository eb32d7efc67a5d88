"""`/tasks`: exports, quantisations and imports, and the routes of models that start them. A worker does the work."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from mlx_hub.api.access import READ, WRITE, WRITE_AS_ADMIN
from mlx_hub.api.deps import KeyedRequestDep, PageDep, Services, ServicesDep, SessionDep
from mlx_hub.api.problems import documented_errors
from mlx_hub.api.tasks_schemas import ExportCreate, ImportCreate, QuantiseCreate
from mlx_hub.models.base import Page
from mlx_hub.models.job import JobStatus
from mlx_hub.services import tasks
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.idempotency import answer_once
from mlx_hub.services.model_folder import ModelFolder, read_model_folder
from mlx_hub.services.task_archive import open_archive
from mlx_hub.services.task_events import TaskPublic

router = APIRouter(tags=["Tasks"])

_TAR = {200: {"content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}}}


def _place(services: Services) -> tasks.Place:
    return tasks.Place(services.store_id, CacheFolder(services.settings.model_cache_dir))


@router.post(
    "/models/{model_id}/export",
    status_code=202,
    summary="Export a version",
    responses=documented_errors(404, 409),
    openapi_extra=WRITE,
)
async def export_model(
    model_id: UUID, body: ExportCreate, session: SessionDep, services: ServicesDep, request: KeyedRequestDep
) -> TaskPublic:
    """Follow it with `GET /tasks/{id}`, then fetch `GET /tasks/{id}/archive`."""

    async def work() -> TaskPublic:
        row = await tasks.request_export(session, _place(services), model_id, format=body.format, version=body.version)
        return TaskPublic.from_row(row)

    return await answer_once(session, request, TaskPublic, work)


@router.post(
    "/models/{model_id}/quantise",
    status_code=202,
    summary="Quantise a model",
    responses=documented_errors(404, 409),
    openapi_extra=WRITE,
)
async def quantise_model(
    model_id: UUID, body: QuantiseCreate, session: SessionDep, services: ServicesDep, request: KeyedRequestDep
) -> TaskPublic:
    """The result is a registered model of its own, which the inference server finds by its name."""

    async def work() -> TaskPublic:
        wanted = tasks.QuantiseRequest(body.bits, body.group_size, body.name, body.dataset_id)
        return TaskPublic.from_row(await tasks.request_quantise(session, _place(services), model_id, wanted))

    return await answer_once(session, request, TaskPublic, work)


async def _read_folder(body: ImportCreate) -> ModelFolder:
    return await asyncio.to_thread(read_model_folder, body.path)


@router.post(
    "/models/import",
    status_code=202,
    summary="Import a folder of this machine",
    responses=documented_errors(409),
    openapi_extra=WRITE_AS_ADMIN,
)
async def import_model(
    body: ImportCreate,
    # Before the transaction: it may lie on a disk that takes its time.
    folder: Annotated[ModelFolder, Depends(_read_folder)],
    session: SessionDep,
    services: ServicesDep,
    request: KeyedRequestDep,
) -> TaskPublic:
    """Copies a model's data files (never code or pickles), checks them like a download, and registers it as `local/<name>`.

    When the task is completed it can be trained on and served by that name at once.
    """

    async def work() -> TaskPublic:
        return TaskPublic.from_row(await tasks.request_import(session, _place(services), folder, name=body.name))

    return await answer_once(session, request, TaskPublic, work)


@router.get("/tasks", summary="List tasks", responses=documented_errors(), openapi_extra=READ)
async def list_tasks(
    session: SessionDep,
    page: PageDep,
    kind: Annotated[
        list[Literal["export", "quantise", "import"]] | None, Query(description="May be given several times.")
    ] = None,
    status: Annotated[list[JobStatus] | None, Query(description="Only these; may be given several times.")] = None,
) -> Page[TaskPublic]:
    """The newest first."""
    found = await tasks.list_tasks(session, page, kinds=[*kind] if kind else None, statuses=status)
    items = [TaskPublic.from_row(row) for row in found.items]
    return Page(items=items, total=found.total, page=found.page, page_size=found.page_size)


@router.get("/tasks/{task_id}", summary="One task", responses=documented_errors(404), openapi_extra=READ)
async def get_task(task_id: UUID, session: SessionDep) -> TaskPublic:
    """With its progress, and its result or what went wrong."""
    return TaskPublic.from_row(await tasks.read_task(session, task_id))


@router.post("/tasks/{task_id}/cancel", summary="Cancel a task", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def cancel_task(task_id: UUID, session: SessionDep) -> TaskPublic:
    """A queued one ends at once, a running one soon. 409 for one that has ended."""
    return TaskPublic.from_row(await tasks.cancel_task(session, task_id))


@router.get(
    "/tasks/{task_id}/archive",
    summary="Download an export",
    response_class=StreamingResponse,
    responses={**documented_errors(404, 409), **_TAR},
    openapi_extra=READ,
)
async def get_archive(task_id: UUID, session: SessionDep, services: ServicesDep) -> StreamingResponse:
    """All files of a completed export in one tar file; `manifest.json` in it has their sha256."""
    archive = await open_archive(await tasks.read_task(session, task_id), services.settings.data_dir)
    headers = {"content-length": str(archive.num_bytes), "content-disposition": f'attachment; filename="{archive.file_name}"'}
    return StreamingResponse(archive.chunks(), media_type="application/x-tar", headers=headers)
