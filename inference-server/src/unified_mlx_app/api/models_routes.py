"""`/v1/models`: what a client may ask for."""

from fastapi import APIRouter

from unified_mlx_app.api.deps import ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.models_schemas import ModelBody, ModelList, model_body
from unified_mlx_app.errors import ModelNotFoundError

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models", summary="List models", responses=documented_errors())
async def list_models(services: ServicesDep) -> ModelList:
    """Every model that a request may name, the default one first."""
    created = int(services.lifecycle.started_at)
    known = await services.registry.list_models()
    return ModelList(object="list", data=[model_body(model, created=created) for model in known if model.path])


@router.get("/v1/models/{model_id:path}", summary="Show a model", responses=documented_errors(404))
async def get_model(model_id: str, services: ServicesDep) -> ModelBody:
    """One model by its name, which may contain slashes."""
    known = [model for model in await services.registry.list_models() if model.path]
    for model in known:
        if model.name == model_id:
            return model_body(model, created=int(services.lifecycle.started_at))
    names = ", ".join(model.name for model in known[:30])
    raise ModelNotFoundError(f"There is no model {model_id[:100]!a}. Known models: {names or 'none yet'}.", param="model")
