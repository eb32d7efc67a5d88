"""`/v1/models`: what a client may ask for."""

from fastapi import APIRouter

from unified_mlx_app.api.deps import Services, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.models_schemas import ModelBody, ModelList, model_body
from unified_mlx_app.api.policies import needs
from unified_mlx_app.errors import ModelNotFoundError
from unified_mlx_app.models.registry import KnownModel

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models", summary="List models", responses=documented_errors())
@needs("read", "infer")
async def list_models(services: ServicesDep) -> ModelList:
    """Every model that a request may name, the default one first."""
    known = await services.registry.list_models()
    return ModelList(object="list", data=[await _body(model, model.path, services) for model in known if model.path])


@router.get("/v1/models/{model_id:path}", summary="Show a model", responses=documented_errors(404))
@needs("read", "infer")
async def get_model(model_id: str, services: ServicesDep) -> ModelBody:
    """One model by its name, which may contain slashes."""
    known = await services.registry.list_models()
    for model in known:
        if model.path and model.name == model_id:
            return await _body(model, model.path, services)
    names = ", ".join(model.name for model in known[:30] if model.path)
    raise ModelNotFoundError(f"There is no model {model_id[:100]!a}. Known models: {names or 'none yet'}.", param="model")


async def _body(model: KnownModel, path: str, services: Services) -> ModelBody:
    return model_body(model, await services.facts.of(path), created=int(services.lifecycle.started_at))
