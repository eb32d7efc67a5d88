"""What routes ask for: the services of this process, and work that ends with its client."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, TypedDict, TypeVar

from fastapi import Depends, Request

from unified_mlx_app.api.error_handlers import ClientGoneError
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.api_keys import APIKeys, Caller
from unified_mlx_app.services.embeddings import EmbeddingService
from unified_mlx_app.services.generation_service import GenerationService
from unified_mlx_app.services.health_checks import HealthChecks
from unified_mlx_app.services.lifecycle import Lifecycle
from unified_mlx_app.services.miss_explanations import MissExplanations
from unified_mlx_app.services.model_facts import FactsOfModels
from unified_mlx_app.services.prompt_rules import PromptRules
from unified_mlx_app.services.responses_store import ResponsesStore
from unified_mlx_app.services.system_metrics import SystemMetrics
from unified_mlx_app.services.tokenization import TokenizationService

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the lifespan built."""

    settings: Settings
    engine: EngineClient
    registry: ModelRegistry
    generation: GenerationService
    embeddings: EmbeddingService
    tokenization: TokenizationService
    keys: APIKeys
    rules: PromptRules
    misses: MissExplanations
    responses: ResponsesStore
    facts: FactsOfModels
    metrics: Metrics
    system: SystemMetrics
    lifecycle: Lifecycle
    health: HealthChecks


class LifespanState(TypedDict):
    services: Services


def get_services(request: Request) -> Services:
    return request.state.services


def get_caller(request: Request) -> Caller:
    return request.state.caller


ServicesDep = Annotated[Services, Depends(get_services)]
CallerDep = Annotated[Caller, Depends(get_caller)]


async def until_disconnect(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`; when the client leaves first, `work` is cancelled and ClientGoneError raised."""
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
