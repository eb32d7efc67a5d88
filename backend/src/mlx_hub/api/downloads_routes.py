"""`/downloads`: models on their way from the hub, and the cache that they come to lie in. A worker does the work."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from mlx_hub.api.access import DOWNLOAD, READ, WRITE
from mlx_hub.api.deps import KeyedRequestDep, PageDep, ServicesDep, SessionDep
from mlx_hub.api.downloads_schemas import CacheUsagePublic, DownloadCreate
from mlx_hub.api.problems import documented_errors
from mlx_hub.models.base import Page
from mlx_hub.models.job import DownloadStatus
from mlx_hub.services import downloads, model_cache
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.download_events import DownloadPublic
from mlx_hub.services.idempotency import answer_once

router = APIRouter(tags=["Downloads"])


@router.post(
    "/models/download", status_code=202, summary="Download a model", responses=documented_errors(), openapi_extra=DOWNLOAD
)
async def download_model(
    body: DownloadCreate, session: SessionDep, services: ServicesDep, request: KeyedRequestDep
) -> DownloadPublic:
    """Fetches the weights into the model cache. Follow it with `GET /downloads/{id}`."""

    async def work() -> DownloadPublic:
        row = await downloads.request_download(session, body.repo_id, revision=body.revision, store_id=services.store_id)
        return DownloadPublic.from_row(row)

    return await answer_once(session, request, DownloadPublic, work)


@router.post(
    "/discover/download",
    status_code=202,
    summary="Download and register a model",
    responses=documented_errors(),
    openapi_extra=DOWNLOAD,
)
async def download_and_register(
    body: DownloadCreate, session: SessionDep, services: ServicesDep, request: KeyedRequestDep
) -> DownloadPublic:
    """The same download; when it is ready the model is registered under its name on the hub."""

    async def work() -> DownloadPublic:
        row = await downloads.request_download(
            session, body.repo_id, revision=body.revision, store_id=services.store_id, registers_model=True
        )
        return DownloadPublic.from_row(row)

    return await answer_once(session, request, DownloadPublic, work)


@router.get("/downloads", summary="List downloads", responses=documented_errors(), openapi_extra=READ)
async def list_downloads(
    session: SessionDep,
    page: PageDep,
    status: Annotated[list[DownloadStatus] | None, Query(description="Only these; may be given several times.")] = None,
) -> Page[DownloadPublic]:
    """The newest first."""
    found = await downloads.list_downloads(session, page, statuses=status or ())
    return Page(
        items=[DownloadPublic.from_row(row) for row in found.items], total=found.total, page=found.page, page_size=found.page_size
    )


@router.get("/downloads/usage", summary="What the model cache takes", responses=documented_errors(), openapi_extra=READ)
async def get_usage(session: SessionDep, services: ServicesDep) -> CacheUsagePublic:
    """Against the quota of `MODEL_CACHE_MAX_SIZE` and the free space of the disk."""
    settings = services.settings
    folder, max_bytes = CacheFolder(settings.model_cache_dir), settings.model_cache_max_size
    usage = await model_cache.read_usage(session, folder, services.store_id, max_bytes=max_bytes)
    return CacheUsagePublic(**asdict(usage))


@router.get("/downloads/{download_id}", summary="One download", responses=documented_errors(404), openapi_extra=READ)
async def get_download(download_id: UUID, session: SessionDep) -> DownloadPublic:
    """With progress, rate and the time that remains."""
    return DownloadPublic.from_row(await downloads.read_download(session, download_id))


@router.post(
    "/downloads/{download_id}/pause", summary="Pause a download", responses=documented_errors(404, 409), openapi_extra=WRITE
)
async def pause_download(download_id: UUID, session: SessionDep) -> DownloadPublic:
    """What it has fetched stays."""
    return DownloadPublic.from_row(await downloads.pause_download(session, download_id))


@router.post(
    "/downloads/{download_id}/resume", summary="Resume a download", responses=documented_errors(404, 409), openapi_extra=WRITE
)
async def resume_download(download_id: UUID, session: SessionDep) -> DownloadPublic:
    """One that was paused or has failed continues where it stopped."""
    return DownloadPublic.from_row(await downloads.resume_download(session, download_id))


@router.post(
    "/downloads/{download_id}/cancel", summary="Cancel a download", responses=documented_errors(404, 409), openapi_extra=WRITE
)
async def cancel_download(download_id: UUID, services: ServicesDep) -> DownloadPublic:
    """What it has fetched goes. 409 for one that is ready: delete the model instead."""
    folder = CacheFolder(services.settings.model_cache_dir)
    return DownloadPublic.from_row(await downloads.cancel_download(services.sessions, folder, download_id))


@router.put(
    "/downloads/{download_id}/pin", summary="Keep a model in the cache", responses=documented_errors(404), openapi_extra=WRITE
)
async def pin_download(download_id: UUID, session: SessionDep) -> DownloadPublic:
    """It is never evicted to make room for another."""
    await model_cache.pin(session, download_id)
    return DownloadPublic.from_row(await downloads.read_download(session, download_id))


@router.delete(
    "/downloads/{download_id}/pin", summary="Let a model be evicted again", responses=documented_errors(404), openapi_extra=WRITE
)
async def unpin_download(download_id: UUID, session: SessionDep) -> DownloadPublic:
    """When room is needed and it is the least recently used."""
    await model_cache.unpin(session, download_id)
    return DownloadPublic.from_row(await downloads.read_download(session, download_id))
