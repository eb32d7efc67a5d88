"""`/datasets`: changed rows, other formats, duplicates. Stored rows never change: each change makes another dataset."""

from dataclasses import asdict
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request

from mlx_hub.api.access import READ, WRITE
from mlx_hub.api.dataset_changes_schemas import (
    ConvertedPublic,
    DatasetConvert,
    DatasetDeduplicate,
    DatasetDependentsPublic,
    DatasetEdits,
    DatasetLengthsPublic,
    DuplicateGroupPublic,
    DuplicatesPublic,
)
from mlx_hub.api.datasets_routes import ContextDep
from mlx_hub.api.deps import KeyedRequestDep, PageDep, SessionDep
from mlx_hub.api.disconnect import unless_client_leaves
from mlx_hub.api.problems import documented_errors
from mlx_hub.core.dataset_duplicates import Match
from mlx_hub.models.dataset import DatasetPublic
from mlx_hub.services import dataset_conversions, dataset_dependents, dataset_edits, datasets

router = APIRouter(prefix="/datasets", tags=["Datasets"])


@router.post(
    "/{dataset_id}/edits", status_code=201, summary="Change rows", responses=documented_errors(404, 409, 507), openapi_extra=WRITE
)
async def edit_dataset(
    dataset_id: UUID, body: DatasetEdits, request: Request, context: ContextDep, keyed: KeyedRequestDep
) -> DatasetPublic:
    """Replaces, deletes and inserts rows; the result is a new dataset with a checksum of its own.

    With `replaces_original` it takes the place of the old one in one step, which 409 refuses for a dataset that was trained on.
    """
    work = dataset_edits.edit_in_place if body.replaces_original else dataset_edits.edit
    return await unless_client_leaves(request, work(context, dataset_id, body.row_edits(), name=body.name, request=keyed))


@router.get("/{dataset_id}/dependents", summary="What depends on a dataset", responses=documented_errors(404), openapi_extra=READ)
async def get_dataset_dependents(dataset_id: UUID, session: SessionDep) -> DatasetDependentsPublic:
    """What deleting it would mean: bytes, jobs and versions that were trained on it, and what needs it now."""
    found = await dataset_dependents.find_dependents(session, await datasets.get_row(session, dataset_id))
    return DatasetDependentsPublic(**asdict(found), can_delete=not found.blockers)


@router.get("/{dataset_id}/duplicates", summary="Rows that say the same", responses=documented_errors(404), openapi_extra=READ)
async def list_duplicates(
    dataset_id: UUID, request: Request, context: ContextDep, page: PageDep, match: Match = "exact"
) -> DuplicatesPublic:
    """Groups with their lines; `normalised` puts case, spaces and punctuation aside.

    The same question again is answered at once.
    """
    found = await unless_client_leaves(request, dataset_conversions.duplicates(context, dataset_id, match))
    groups = found.groups[page.offset : page.offset + page.size]
    return DuplicatesPublic(
        items=[DuplicateGroupPublic(lines=group.lines, num_rows=group.num_rows, start=group.start) for group in groups],
        total=len(found.groups),
        page=page.number,
        page_size=page.size,
        num_groups=found.num_groups,
        num_duplicates=found.num_duplicates,
    )


@router.post(
    "/{dataset_id}/deduplicate",
    status_code=201,
    summary="Leave out repeated rows",
    responses=documented_errors(404, 409, 507),
    openapi_extra=WRITE,
)
async def deduplicate_dataset(
    dataset_id: UUID, body: DatasetDeduplicate, request: Request, context: ContextDep, keyed: KeyedRequestDep
) -> DatasetPublic:
    """A new dataset in which the first of each group of equal rows stays."""
    work = dataset_conversions.deduplicate(context, dataset_id, body.match, name=body.name, request=keyed)
    return await unless_client_leaves(request, work)


@router.post(
    "/{dataset_id}/convert",
    status_code=201,
    summary="Another format",
    responses=documented_errors(404, 409, 507),
    openapi_extra=WRITE,
)
async def convert_dataset(
    dataset_id: UUID, body: DatasetConvert, request: Request, context: ContextDep, keyed: KeyedRequestDep
) -> ConvertedPublic:
    """A new dataset. Rows that would lose something are named and refused, or left out with `skips_problems`."""
    work = dataset_conversions.convert(
        context, dataset_id, body.format, skips_problems=body.skips_problems, name=body.name, request=keyed
    )
    return ConvertedPublic.from_converted(await unless_client_leaves(request, work))


@router.get("/{dataset_id}/lengths", summary="Lengths without a model", responses=documented_errors(404), openapi_extra=READ)
async def get_lengths(dataset_id: UUID, request: Request, context: ContextDep) -> DatasetLengthsPublic:
    """Characters and messages of the rows, with histograms. Tokens depend on a model: `POST /datasets/{id}/statistics`."""
    row = await datasets.read_row(context, dataset_id)
    found = await unless_client_leaves(request, dataset_conversions.lengths(context, row))
    return DatasetLengthsPublic.model_validate({"num_rows": row.num_rows, **msgspec.to_builtins(found)})
