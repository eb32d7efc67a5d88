"""`/admin/models`: register, remove, load, unload and pin models."""

from fastapi import APIRouter, Response

from unified_mlx_app.api.deps import Services, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.models_schemas import (
    AdminModelList,
    ModelAction,
    RegisterBody,
    RegisteredModel,
    ResidentModelBody,
    admin_model,
    resident_body,
)
from unified_mlx_app.types import ResidentModel

router = APIRouter(prefix="/admin/models", tags=["Admin: models"])


def _resident(services: Services) -> dict[str, ResidentModel]:
    stats = services.engine.status.stats
    return {model.name: model for model in stats.resident} if stats else {}


@router.get("", summary="List models with their state", responses=documented_errors())
async def list_models(services: ServicesDep) -> AdminModelList:
    """Known models and which of them are in memory, as of the engine's last heartbeat (one second)."""
    resident = _resident(services)
    models = {model.name: admin_model(model, resident.get(model.name)) for model in await services.registry.list_models()}
    return AdminModelList(total_models=len(models), loaded_models=sum(model.loaded for model in models.values()), models=models)


@router.post(
    "/register",
    summary="Serve a model or adapter under a name",
    status_code=201,
    responses={**documented_errors(404, 409), 200: {"model": RegisteredModel, "description": "The same was registered before."}},
)
async def register_model(body: RegisterBody, response: Response, services: ServicesDep) -> RegisteredModel:
    """Registers a base model of this machine, with an adapter or without; the next request can name it."""
    model, is_created = await services.registry.register(body.registration())
    response.status_code = 201 if is_created else 200
    described = admin_model(model, _resident(services).get(model.name))
    return RegisteredModel(name=model.name, **described.model_dump())


@router.delete("/{name:path}", summary="Stop serving a registered model", responses=documented_errors(404, 409))
async def remove_model(name: str, services: ServicesDep) -> ModelAction:
    """Removes the registration and frees its memory; files stay. 409 while it answers a request."""
    if name in _resident(services):
        await services.engine.unload_model(name)
    await services.registry.unregister(name)
    return ModelAction(status="removed", name=name)


@router.post("/{name:path}/load", summary="Load a model", responses=documented_errors(404))
async def load_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """Brings a model into memory now, evicting idle ones when the budget needs it."""
    return await _load(name, services, pin=None)


@router.post("/{name:path}/pin", summary="Load a model and keep it", responses=documented_errors(404))
async def pin_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """Loads a model and exempts it from eviction until it is unpinned."""
    return await _load(name, services, pin=True)


@router.post("/{name:path}/unpin", summary="Let a model be evicted again", responses=documented_errors(404))
async def unpin_model(name: str, services: ServicesDep) -> ResidentModelBody:
    """The model stays in memory as long as nothing else needs the place."""
    return await _load(name, services, pin=False)


@router.post("/{name:path}/unload", summary="Free a model's memory", responses=documented_errors(404, 409))
async def unload_model(name: str, services: ServicesDep) -> ModelAction:
    """Its cached prompts stay; 409 while it answers a request."""
    resolved = await services.registry.resolve(name)
    await services.engine.unload_model(resolved.spec.name)
    return ModelAction(status="unloaded", name=resolved.spec.name)


async def _load(name: str, services: Services, *, pin: bool | None) -> ResidentModelBody:
    resolved = await services.registry.resolve(name)
    return resident_body(await services.engine.load_model(resolved.spec, pin=pin))
