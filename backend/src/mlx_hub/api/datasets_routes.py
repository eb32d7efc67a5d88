"""`/datasets`: rows to train on, uploaded, looked at, checked and split."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from mlx_hub.api.access import COMPUTE, READ, WRITE
from mlx_hub.api.datasets_schemas import (
    UPLOAD_BODY,
    DatasetPreviewRequest,
    DatasetStatisticsRequest,
    DatasetView,
    PreviewPublic,
    ProblemPublic,
    RowPreviewPublic,
    RowPublic,
    StatisticsPublic,
    ValidationPublic,
    VerificationPublic,
)
from mlx_hub.api.deps import IdempotencyKeyHeader, KeyedRequestDep, PageDep, ServicesDep, SessionDep, keyed_request
from mlx_hub.api.disconnect import unless_client_leaves, unless_server_stops
from mlx_hub.api.error_handlers import ClientGoneError
from mlx_hub.api.problems import documented_errors
from mlx_hub.errors import InvalidInputError, NotFoundError
from mlx_hub.models.base import Page, Prose
from mlx_hub.models.dataset import DatasetCreate, DatasetPublic, DatasetSplit, DatasetSplitCreate
from mlx_hub.services import dataset_splits, dataset_views, datasets
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_store import staged
from mlx_hub.services.dataset_upload import FileReceiver, Received, default_name, store_upload
from mlx_hub.services.multipart import Form, read_form

router = APIRouter(prefix="/datasets", tags=["Datasets"])

_RECEIVE_SECONDS = 60.0
"""A sender that is silent for so long has gone."""


def get_context(services: ServicesDep) -> DatasetContext:
    return DatasetContext(services.settings, services.sessions, services.readers, services.core)


ContextDep = Annotated[DatasetContext, Depends(get_context)]


@router.post(
    "",
    status_code=201,
    summary="Upload a dataset",
    responses=documented_errors(409, 507),
    openapi_extra=WRITE | UPLOAD_BODY,
)
async def create_dataset(
    request: Request, services: ServicesDep, context: ContextDep, idempotency_key: IdempotencyKeyHeader = None
) -> DatasetPublic:
    """A multipart form with `file`, and if wanted `name` and `description`. The file is streamed to disk.

    Each line is a JSON object: `messages` with perhaps `tools`, `prompt` and `completion`, or `text`. A file that ends in
    .txt, .text or .md becomes one row of `text` for each paragraph, that is for the lines between blank lines; a JSON array
    (up to 64 MiB) one row for each element; a table (.csv or .tsv, with a header line) one for each record.

    Lines that cannot be used are reported and passed over in training; a file without any usable line is refused with the
    first reasons. 409 when the name is taken, 507 when the disk is full.
    """
    dataset_id = uuid4()
    async with staged(context, dataset_id):
        form, received = await unless_server_stops(services.lifecycle, _receive(request, context, dataset_id))
        body = _create_body(form)
        fingerprint = f"{received.sha256}\n{body.model_dump_json()}"
        keyed = keyed_request(request, idempotency_key, fingerprint.encode())
        return await unless_client_leaves(request, store_upload(context, received, body, keyed))


async def _receive(request: Request, context: DatasetContext, dataset_id: UUID) -> tuple[Form, Received]:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit():
        await asyncio.to_thread(context.folder.check_room, int(declared))
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidInputError("The body must not be compressed.", field="content-encoding")
    receiver = FileReceiver(context.folder, dataset_id, max_rows=context.settings.max_rows)
    content_type = request.headers.get("content-type", "")
    form = await read_form(content_type, _chunks(request), file_field="file", take=receiver.take)
    return form, await receiver.finish(form.file_name or "")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_RECEIVE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except ClientDisconnect as error:
            raise ClientGoneError from error
        except TimeoutError:
            raise InvalidInputError(f"Nothing came for {_RECEIVE_SECONDS:.0f} seconds.", field="body") from None
        yield chunk


def _create_body(form: Form) -> DatasetCreate:
    if unknown := form.fields.keys() - DatasetCreate.model_fields.keys():
        raise InvalidInputError(f"The form has unknown fields: {', '.join(sorted(unknown))}.", field=min(unknown))
    name = form.fields.get("name") or default_name(form.file_name or "")
    try:
        return DatasetCreate(**{**form.fields, "name": name})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        field = str(found["loc"][0])
        raise InvalidInputError(f"{field}: {found['msg']}.", field=field) from None


@router.get("", summary="List datasets", responses=documented_errors(), openapi_extra=READ)
async def list_datasets(
    session: SessionDep,
    page: PageDep,
    query: Annotated[Prose | None, Query(max_length=200, description="Text in the name.")] = None,
) -> Page[DatasetPublic]:
    """The newest first."""
    return await datasets.list_datasets(session, page, query=query)


@router.get("/{dataset_id}", summary="One dataset", responses=documented_errors(404), openapi_extra=READ)
async def get_dataset(dataset_id: UUID, session: SessionDep) -> DatasetPublic:
    """With what was found when it was uploaded."""
    return DatasetPublic.from_row(await datasets.get_row(session, dataset_id))


@router.delete(
    "/{dataset_id}", status_code=204, summary="Delete a dataset", responses=documented_errors(404, 409), openapi_extra=WRITE
)
async def delete_dataset(dataset_id: UUID, context: ContextDep) -> None:
    """With its files. 409 while queued or running jobs need it; the message names them."""
    await datasets.delete_dataset(context, dataset_id)


@router.get(
    "/{dataset_id}/content",
    summary="Download a dataset",
    responses={**documented_errors(404), 200: {"content": {"application/jsonl": {}}, "description": "The stored file."}},
    response_class=FileResponse,
    openapi_extra=READ,
)
async def get_content(dataset_id: UUID, context: ContextDep) -> FileResponse:
    """The stored JSONL file."""
    row = await datasets.read_row(context, dataset_id)
    if not await asyncio.to_thread(Path(row.path).is_file):
        raise NotFoundError("The dataset's file is gone from the data folder.")
    return FileResponse(row.path, media_type="application/jsonl", filename=f"{row.name.replace('/', '_')}.jsonl")


@router.post(
    "/{dataset_id}/verify", summary="Compare the file with its checksum", responses=documented_errors(404), openapi_extra=COMPUTE
)
async def verify_dataset(dataset_id: UUID, request: Request, context: ContextDep) -> VerificationPublic:
    """Reads the whole file. A file that is gone is said to be missing."""
    found = await unless_client_leaves(request, datasets.verify_dataset(context, dataset_id))
    return VerificationPublic(
        is_intact=found.is_intact,
        is_missing=found.sha256 is None,
        expected_sha256=found.expected_sha256,
        sha256=found.sha256,
        num_bytes=found.num_bytes,
    )


@router.get("/{dataset_id}/rows", summary="Rows as they stand", responses=documented_errors(404), openapi_extra=READ)
async def list_rows(dataset_id: UUID, context: ContextDep, page: PageDep) -> Page[RowPublic]:
    """In the order of the file, each with its line and what is wrong with it."""
    found = await dataset_views.list_rows(context, dataset_id, page)
    items = [RowPublic.from_shown(row, number) for number, row in enumerate(found.items, page.offset + 1)]
    return Page(items=items, total=found.total, page=found.page, page_size=found.page_size)


@router.get(
    "/{dataset_id}/problems", summary="What is wrong with which lines", responses=documented_errors(404), openapi_extra=READ
)
async def list_problems(dataset_id: UUID, context: ContextDep, page: PageDep) -> Page[ProblemPublic]:
    """The first 1000, in the order of lines; the dataset's report counts all."""
    found = await dataset_views.list_problems(context, dataset_id, page)
    items = [ProblemPublic.from_problem(problem) for problem in found.items]
    return Page(items=items, total=found.total, page=found.page, page_size=found.page_size)


@router.post(
    "/{dataset_id}/validate", summary="Check against a model", responses=documented_errors(404, 409), openapi_extra=COMPUTE
)
async def validate_dataset(dataset_id: UUID, body: DatasetView, request: Request, context: ContextDep) -> ValidationPublic:
    """Rows that the model's template cannot format, rows without an answer to learn, rows that are cut, foreign tokens."""
    work = dataset_views.inspect(context, dataset_id, body.settings())
    return ValidationPublic.from_inspection(await unless_client_leaves(request, work))


@router.post("/{dataset_id}/statistics", summary="Token lengths", responses=documented_errors(404, 409), openapi_extra=COMPUTE)
async def get_statistics(
    dataset_id: UUID, body: DatasetStatisticsRequest, request: Request, context: ContextDep
) -> StatisticsPublic:
    """With the model's tokenizer and template: percentiles, a histogram, what limits would cut, padding.

    The same question again is answered at once.
    """
    work = dataset_views.inspect(context, dataset_id, body.settings(batch_size=body.batch_size))
    return StatisticsPublic.from_inspection(await unless_client_leaves(request, work))


@router.post(
    "/{dataset_id}/preview",
    summary="Rows as the model will see them",
    responses=documented_errors(404, 409),
    openapi_extra=COMPUTE,
)
async def preview_dataset(dataset_id: UUID, body: DatasetPreviewRequest, request: Request, context: ContextDep) -> PreviewPublic:
    """Template applied, tokens with their texts, which of them are learned, and what is cut off."""
    found = await unless_client_leaves(
        request,
        dataset_views.preview(context, dataset_id, body.settings(), first_row=body.first_row, num_rows=body.num_rows),
    )
    return PreviewPublic(num_rows=found.num_rows, rows=[RowPreviewPublic.from_preview(row) for row in found.rows])


@router.post(
    "/{dataset_id}/split",
    status_code=201,
    summary="Split a dataset in two",
    responses=documented_errors(404, 409, 507),
    openapi_extra=WRITE,
)
async def split_dataset(
    dataset_id: UUID, body: DatasetSplitCreate, request: Request, context: ContextDep, keyed: KeyedRequestDep
) -> DatasetSplit:
    """Two new datasets. The same rows, share and seed give the same parts; parts that exist already are answered again."""
    return await unless_client_leaves(request, dataset_splits.split(context, dataset_id, body, keyed))
