"""`/discover`: models on the hub. What the hub refuses or fails at is told as an error."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query

from mlx_hub.api.access import SEARCH
from mlx_hub.api.deps import ServicesDep
from mlx_hub.api.discover_schemas import HubModelDetails, HubModelPublic, HubPage, ModelCardPublic
from mlx_hub.api.problems import documented_errors
from mlx_hub.models.base import Prose
from mlx_hub.services import discovery
from mlx_hub.services.discovery import Sort
from mlx_hub.services.hub_card import read_card

router = APIRouter(prefix="/discover", tags=["Discover"])

_MAX_PAGE = 50
"""The hub pages by cursor: a page costs the pages before it."""

PageNumber = Annotated[int, Query(ge=1, le=_MAX_PAGE, description="From 1.")]
PageSize = Annotated[int, Query(ge=1, le=100)]
RepoPart = Annotated[str, Path(max_length=96)]


@router.get("/search", summary="Search the hub", responses=documented_errors(502), openapi_extra=SEARCH)
async def search_models(
    services: ServicesDep,
    query: Annotated[Prose, Query(max_length=200, description="Text in the model's name; empty finds all.")] = "",
    page: PageNumber = 1,
    page_size: PageSize = 20,
    mlx_only: Annotated[bool, Query(description="Only models in MLX's format.")] = True,
    sort: Sort = Sort.DOWNLOADS,
    quantization: Annotated[str | None, Query(pattern=r"^(none|\d{1,2}-bit)$", description="Such as 4-bit, or none.")] = None,
    min_bytes: Annotated[int | None, Query(ge=0, le=2**53, description="Of the weights.")] = None,
    max_bytes: Annotated[int | None, Query(ge=1, le=2**53, description="Of the weights.")] = None,
    fits: Annotated[bool, Query(description="Only models that fit the memory of this machine, if only just.")] = False,
) -> HubPage:
    """Largest or newest first. `fits` tells whether a model fits the memory of this machine.

    With quantisation, size or fit asked for, the first 1000 models that match the rest are looked through.
    """
    wanted = discovery.ModelFilter(quantization, min_bytes, max_bytes, fits)
    search = discovery.search if wanted.is_empty else partial(discovery.search_filtered, wanted=wanted)
    found = await search(services.hub, query=query, mlx_only=mlx_only, sort=sort, page=page, page_size=page_size)
    items = [HubModelPublic.model_validate(HubModelPublic.values_of(model)) for model in found.items]
    total = (page - 1) * page_size + len(items) + found.has_more
    return HubPage(items=items, total=total, page=page, page_size=page_size, has_more=found.has_more)


@router.get("/popular", summary="Popular MLX models", responses=documented_errors(502), openapi_extra=SEARCH)
async def list_popular(
    services: ServicesDep, page: PageNumber = 1, page_size: PageSize = 20, sort: Sort = Sort.DOWNLOADS
) -> HubPage:
    """MLX models by downloads, or by what `sort` says."""
    return await search_models(services, page=page, page_size=page_size, sort=sort)


@router.get("/models/{owner}/{name}", summary="One model on the hub", responses=documented_errors(404, 502), openapi_extra=SEARCH)
async def get_hub_model(owner: RepoPart, name: RepoPart, services: ServicesDep) -> HubModelDetails:
    """With files, sizes, quantisation, the memory that serving it takes, and whether it fits this machine."""
    return HubModelDetails.from_details(await discovery.read_details(services.hub, f"{owner}/{name}"))


@router.get(
    "/models/{owner}/{name}/card", summary="A model's card", responses=documented_errors(403, 404, 502), openapi_extra=SEARCH
)
async def get_model_card(owner: RepoPart, name: RepoPart, services: ServicesDep) -> ModelCardPublic:
    """Its README as Markdown, without the metadata at its head. It is of others' making: clean it before it is shown."""
    return ModelCardPublic(**asdict(await read_card(services.hub, f"{owner}/{name}")))
