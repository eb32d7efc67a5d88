"""`/models`: the registry of models, their versions and aliases."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from mlx_hub.api.access import READ, WRITE
from mlx_hub.api.deps import KeyedRequestDep, PageDep, ServicesDep, SessionDep
from mlx_hub.api.models_schemas import ModelDependentsPublic
from mlx_hub.api.problems import documented_errors
from mlx_hub.models.base import Line, Page, Prose
from mlx_hub.models.registered_model import (
    AliasMove,
    ModelAliasPublic,
    ModelKind,
    ModelVersionPublic,
    Promotion,
    RegisteredModelCreate,
    RegisteredModelPublic,
    RegisteredModelUpdate,
)
from mlx_hub.services import aliases, registry, versions
from mlx_hub.services.idempotency import answer_once
from mlx_hub.services.model_dependents import find_dependents
from mlx_hub.services.model_removal import remove_model

router = APIRouter(prefix="/models", tags=["Models"])

AliasName = Annotated[
    str, Path(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="Such as champion; begins with a letter.")
]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("", summary="List models", responses=documented_errors(), openapi_extra=READ)
async def list_models(
    session: SessionDep,
    page: PageDep,
    type: Annotated[ModelKind | None, Query(description="Only base models or only adapters.")] = None,
    task_type: Annotated[Line | None, Query(max_length=64)] = None,
    query: Annotated[Prose | None, Query(max_length=200, description="Text in the name, base model or description.")] = None,
) -> Page[RegisteredModelPublic]:
    """The newest first."""
    return await registry.list_models(session, registry.ModelFilter(kind=type, task_type=task_type, query=query), page)


@router.post("", status_code=201, summary="Register a model", responses=documented_errors(409), openapi_extra=WRITE)
async def create_model(body: RegisteredModelCreate, session: SessionDep, request: KeyedRequestDep) -> RegisteredModelPublic:
    """409 when the name is taken. `base_model` may be the name of a registered model, which this one then stands on."""
    return await answer_once(session, request, RegisteredModelPublic, lambda: registry.create_model(session, body))


@router.get("/{model_id}", summary="One model", responses=documented_errors(404), openapi_extra=READ)
async def get_model(model_id: UUID, session: SessionDep) -> RegisteredModelPublic:
    """With its newest version and what its aliases point to."""
    return await registry.get_model(session, model_id)


@router.patch("/{model_id}", summary="Change a model", responses=documented_errors(404, 409), openapi_extra=WRITE)
async def update_model(model_id: UUID, body: RegisteredModelUpdate, session: SessionDep) -> RegisteredModelPublic:
    """Fields that are absent stay as they are. 409 for a name that is taken, or a new one while aliases serve the old."""
    return await registry.update_model(session, model_id, body)


@router.delete(
    "/{model_id}",
    status_code=204,
    summary="Delete a model with its files",
    responses=documented_errors(404, 409),
    openapi_extra=WRITE,
)
async def delete_model(model_id: UUID, services: ServicesDep) -> None:
    """409 while a job, a task, a download or another model needs it; the message says which."""
    await remove_model(services.sessions, services.settings, services.promotions, model_id)


@router.get("/{model_id}/dependents", summary="What depends on a model", responses=documented_errors(404), openapi_extra=READ)
async def get_model_dependents(model_id: UUID, session: SessionDep, services: ServicesDep) -> ModelDependentsPublic:
    """What deleting it would mean: bytes, versions, names no longer served, jobs, and what needs it now."""
    model = await registry.get_row(session, model_id)
    found = await find_dependents(session, model, data_dir=services.settings.data_dir)
    return ModelDependentsPublic(**asdict(found), can_delete=not found.blockers)


@router.get("/{model_id}/versions", summary="Versions of a model", responses=documented_errors(404), openapi_extra=READ)
async def list_versions(model_id: UUID, session: SessionDep, page: PageDep) -> Page[ModelVersionPublic]:
    """With their lineage, the newest first."""
    return await versions.list_versions(session, model_id, page)


@router.get("/{model_id}/versions/{version}", summary="One version", responses=documented_errors(404), openapi_extra=READ)
async def get_version(model_id: UUID, version: VersionNumber, session: SessionDep) -> ModelVersionPublic:
    """With its lineage: base commit, dataset, configuration, seed, MLflow run, metrics."""
    return await versions.get_version(session, model_id, version)


@router.get("/{model_id}/aliases", summary="Aliases of a model", responses=documented_errors(404), openapi_extra=READ)
async def list_aliases(model_id: UUID, session: SessionDep, page: PageDep) -> Page[ModelAliasPublic]:
    """What each points to, and pointed to before."""
    return await aliases.list_aliases(session, model_id, page)


@router.put(
    "/{model_id}/aliases/{alias}",
    summary="Promote a version, or roll back",
    responses=documented_errors(404),
    openapi_extra=WRITE,
)
async def move_alias(model_id: UUID, alias: AliasName, body: AliasMove, services: ServicesDep) -> Promotion:
    """The alias points to the version from now on, and the inference server answers with it under `served_name`.

    When the inference server is down the alias moves all the same: `served` is false and `reason` says why.
    """
    return await services.promotions.promote(model_id, alias, body.version)


@router.delete(
    "/{model_id}/aliases/{alias}",
    status_code=204,
    summary="Delete an alias",
    responses=documented_errors(404),
    openapi_extra=WRITE,
)
async def delete_alias(model_id: UUID, alias: AliasName, services: ServicesDep) -> None:
    """Nothing is served under it any more; the version stays."""
    await services.promotions.delete(model_id, alias)
