"""`/admin/models`: register, replace, remove, load, unload and pin models."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from unified_mlx_app.api.deps import Services, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.models_schemas import (
    AdminModel,
    AdminModelList,
    MemoryEstimate,
    ModelAction,
    RegisterBody,
    RegisteredModel,
    ResidentModelBody,
    admin_model,
    resident_body,
)
from unified_mlx_app.api.policies import needs
from unified_mlx_app.errors import InvalidRequestError, ModelNotFoundError
from unified_mlx_app.models.registry import KnownModel
from unified_mlx_app.services.memory_plan import plan_memory
from unified_mlx_app.types import ResidentModel

router = APIRouter(prefix="/admin/models", tags=["Admin: models"])


_Place = tuple[str | None, str | None]
"""The folders of a model and of its adapter: what is resident, under whatever name."""


def _residents(services: Services) -> dict[_Place, ResidentModel]:
    stats = services.engine.status.stats
    current = [model for model in stats.resident if not model.is_replaced] if stats else []
    return {(model.path, model.adapter_path): model for model in current}


def _describer(services: Services) -> Callable[[KnownModel], AdminModel]:
    """Describes models by what is in memory now."""
    residents, stats = _residents(services), services.engine.status.stats
    loading = {(model.path, model.adapter_path) for model in stats.loading} if stats else set[_Place]()

    def describe(model: KnownModel) -> AdminModel:
        place = (model.path, model.adapter_path)
        return admin_model(model, residents.get(place), is_loading=place in loading)

    return describe


@router.get("", summary="List models with their state", responses=documented_errors())
@needs("read")
async def list_models(services: ServicesDep) -> AdminModelList:
    """Known models and which of them are in memory, as of the engine's last heartbeat (one second)."""
    known = await services.registry.list_models()
    describe = _describer(services)
    models = {model.name: describe(model) for model in known}
    return AdminModelList(total_models=len(models), loaded_models=sum(model.loaded for model in models.values()), models=models)


@router.post(
    "/register",
    summary="Serve a model or adapter under a name",
    status_code=201,
    responses={**documented_errors(404, 409), 200: {"model": RegisteredModel, "description": "The same was registered before."}},
)
@needs("admin", is_audited=True)
async def register_model(body: RegisterBody, request: Request, response: Response, services: ServicesDep) -> RegisteredModel:
    """Registers a base model of this machine, with an adapter or without; the next request can name it."""
    request.state.audit_target = {"name": body.name}
    await services.rules.check_config(body.config)
    model, is_created = await services.registry.register(body.registration())
    response.status_code = 201 if is_created else 200
    return RegisteredModel(name=model.name, **_describer(services)(model).model_dump())


@router.get("/{name:path}/estimate", summary="What loading a model would take", responses=documented_errors(404))
@needs("read")
async def estimate_memory(
    name: str,
    services: ServicesDep,
    context_tokens: Annotated[int, Query(ge=1, le=100_000_000, description="Of one sequence.")] = 4096,
) -> MemoryEstimate:
    """Weights and KV state against the memory that is free, and which idle models would have to go."""
    model = next((model for model in await services.registry.list_models() if model.name == name), None)
    if model is None:
        raise ModelNotFoundError(f"There is no model {name[:100]!a}.", param="name")
    plan = await asyncio.to_thread(plan_memory, model, services.engine.status.stats, context_tokens=context_tokens)
    return MemoryEstimate(name=name, context_tokens=context_tokens, **asdict(plan))


@router.put(
    "/{name:path}",
    summary="Replace what a name stands for",
    responses={
        **documented_errors(404, 409),
        201: {"model": RegisteredModel, "description": "The name is new."},
    },
)
@needs("admin", is_audited=True)
async def replace_model(name: str, body: RegisterBody, response: Response, services: ServicesDep) -> RegisteredModel:
    """Registers, or replaces in one step what is registered: the name is served at every moment.

    Running requests finish on what they began with, later ones get the new model. 409 for the name of a base model on this
    machine.
    """
    if body.name != name:
        raise InvalidRequestError(f"The path names {name[:100]!a} and the body {body.name[:100]!a}.", param="name")
    await services.rules.check_config(body.config)
    model, is_created = await services.registry.replace(body.registration())
    response.status_code = 201 if is_created else 200
    if (spec := model.spec) is not None:
        services.engine.replace_model(spec)
    return RegisteredModel(name=model.name, **_describer(services)(model).model_dump())


@router.delete("/{name:path}", summary="Stop serving a registered model", responses=documented_errors(404, 409))
@needs("admin", is_audited=True)
async def remove_model(name: str, services: ServicesDep) -> ModelAction:
    """Removes the registration and frees its memory; files stay. 409 while it answers a request."""
    if name in {model.name for model in _residents(services).values()}:
        await services.engine.unload_model(name)
    await services.registry.unregister(name)
    return ModelAction(status="removed", name=name)


@router.post("/{name:path}/load", summary="Load a model", responses=documented_errors(404))
@needs("admin", is_audited=True)
async def load_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """Brings a model into memory now, evicting idle ones when the budget needs it."""
    return await _load(name, services, pin=None)


@router.post("/{name:path}/pin", summary="Load a model and keep it", responses=documented_errors(404))
@needs("admin", is_audited=True)
async def pin_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """Loads a model and exempts it from eviction until it is unpinned."""
    return await _load(name, services, pin=True)


@router.post("/{name:path}/unpin", summary="Let a model be evicted again", responses=documented_errors(404))
@needs("admin", is_audited=True)
async def unpin_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """The model stays in memory as long as nothing else needs the place."""
    return await _load(name, services, pin=False)


@router.post("/{name:path}/unload", summary="Free a model's memory", responses=documented_errors(404, 409))
@needs("admin", is_audited=True)
async def unload_model(name: str, services: ServicesDep) -> ModelAction:
    """Its cached prompts stay; 409 while it answers a request."""
    spec = (await services.registry.resolve(name)).spec
    # It may have been loaded under another of its names.
    resident = _residents(services).get((spec.path, spec.adapter_path))
    await services.engine.unload_model(resident.name if resident else spec.name)
    return ModelAction(status="unloaded", name=spec.name)


async def _load(name: str, services: Services, *, pin: bool | None) -> ResidentModelBody:
    resolved = await services.registry.resolve(name)
    return resident_body(await services.engine.load_model(resolved.spec, pin=pin))
