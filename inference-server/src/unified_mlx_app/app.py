"""Builds the API process: settings in, an ASGI application out, whose lifespan holds everything that lives.

No module keeps state: two applications in one process share nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from unified_mlx_app.api import (
    admin_cache_routes,
    admin_models_routes,
    chat_routes,
    completions_routes,
    embeddings_routes,
    health_routes,
    messages_routes,
    models_routes,
    requests_routes,
    responses_routes,
    system_routes,
    tokenize_routes,
)
from unified_mlx_app.api.answers import ANSWER_HEADERS
from unified_mlx_app.api.audit_trail import AuditTrail
from unified_mlx_app.api.body_guard import BodyGuard
from unified_mlx_app.api.deps import LifespanState, Services
from unified_mlx_app.api.docs_routes import add_docs
from unified_mlx_app.api.error_handlers import add_error_handlers
from unified_mlx_app.api.host_guard import HostGuard
from unified_mlx_app.api.keys_guard import KeysGuard
from unified_mlx_app.api.middleware import RefuseWhileDraining, RequestContext
from unified_mlx_app.api.page_routes import page_router
from unified_mlx_app.api.rate_limits import RATE_LIMIT_HEADERS, RateLimiter, RateLimits, limits_of
from unified_mlx_app.api.request_tracing import TraceRequests
from unified_mlx_app.config import Settings
from unified_mlx_app.db import async_url, create_engine, create_sessions, upgrade
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.observability.audit import AuditLog
from unified_mlx_app.observability.metrics import EngineView, Metrics
from unified_mlx_app.observability.tracing import open_tracing
from unified_mlx_app.services.api_keys import APIKeys
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.embeddings import EmbeddingService
from unified_mlx_app.services.generation_service import GenerationService
from unified_mlx_app.services.health_checks import HealthChecks
from unified_mlx_app.services.lifecycle import Lifecycle
from unified_mlx_app.services.miss_explanations import MissExplanations
from unified_mlx_app.services.model_facts import FactsOfModels
from unified_mlx_app.services.prompt_rules import PromptRules
from unified_mlx_app.services.responses_store import ResponsesStore
from unified_mlx_app.services.structured_output import StructuredOutput
from unified_mlx_app.services.system_metrics import SystemMetrics
from unified_mlx_app.services.tokenization import TokenizationService
from unified_mlx_app.services.tokenizers import Tokenizers

log = structlog.get_logger(__name__)

_DESCRIPTION = """OpenAI-compatible inference on MLX with a prompt cache that survives restarts.

Errors have OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, and Anthropic's under
`/v1/messages`. Every response carries `x-request-id`."""


def create_app(settings: Settings, *, lifecycle: Lifecycle | None = None, is_api_only: bool = False) -> FastAPI:
    """The application; nothing starts before its lifespan does."""
    lifecycle = lifecycle or Lifecycle(settings.drain_seconds)
    engine = EngineClient(settings)
    lifecycle.on_cut(lambda: engine.cut(lifecycle.end_at))
    metrics = Metrics(lambda: _engine_view(engine))
    app = _bare_app(lambda _: _running(settings, engine, metrics, lifecycle), is_api_only=is_api_only)
    _add_middleware(app, settings, metrics, lifecycle)
    return app


@asynccontextmanager
async def _running(
    settings: Settings, engine: EngineClient, metrics: Metrics, lifecycle: Lifecycle
) -> AsyncGenerator[LifespanState, None]:
    """Everything that lives while the application does."""
    database = await _open_database(settings)
    registry = ModelRegistry(settings, create_sessions(database))
    tokenizers = Tokenizers()
    templates = ChatTemplates(tokenizers)
    formats = StructuredOutput()
    rules = PromptRules(settings.prompt_cache_rules)
    misses = MissExplanations(templates, metrics)
    generation = GenerationService(
        settings=settings,
        engine=engine,
        registry=registry,
        tokenizers=tokenizers,
        templates=templates,
        formats=formats,
        metrics=metrics,
        rules=rules,
        misses=misses,
    )
    system = SystemMetrics(engine, metrics.recent_ttft_seconds, data_dir=settings.prompt_cache_dir)
    health = HealthChecks(settings, create_sessions(database), engine, system)
    await engine.start()
    try:
        system.start()
        await templates.start()
        await rules.start()
        await registry.start()
        log.info("server_started", version=health_routes.VERSION)
        yield {
            "services": Services(
                settings=settings,
                engine=engine,
                registry=registry,
                generation=generation,
                embeddings=EmbeddingService(
                    settings=settings, engine=engine, registry=registry, tokenizers=tokenizers, metrics=metrics
                ),
                tokenization=TokenizationService(registry=registry, tokenizers=tokenizers, templates=templates, rules=rules),
                keys=_api_keys(settings, database),
                rules=rules,
                misses=misses,
                responses=_responses_store(settings, database),
                facts=FactsOfModels(),
                metrics=metrics,
                system=system,
                lifecycle=lifecycle,
                health=health,
            )
        }
    finally:
        await health.close()
        await system.close()
        await engine.stop(0, end_at=lifecycle.deadline)
        for service in (templates, formats, rules, registry):
            await service.close()
        await database.dispose()
        log.info("server_stopped")


async def _open_database(settings: Settings) -> AsyncEngine:
    """With its tables at their newest."""
    url = async_url(settings.database_url)
    await upgrade(url)
    return create_engine(url)


def _bare_app(lifespan: Lifespan[FastAPI], *, is_api_only: bool) -> FastAPI:
    """With its routes and its errors' shapes."""
    app = FastAPI(
        title="MLX Model Hub · inference",
        version=health_routes.VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_routes(app, is_api_only=is_api_only)
    add_error_handlers(app)
    return app


def _api_keys(settings: Settings, database: AsyncEngine) -> APIKeys:
    own = settings.api_key
    return APIKeys(create_sessions(database), environment_key=None if own is None else own.get_secret_value())


def _responses_store(settings: Settings, database: AsyncEngine) -> ResponsesStore:
    return ResponsesStore(
        create_sessions(database),
        max_entries=settings.stored_responses_max_entries,
        keep_seconds=settings.stored_responses_seconds,
    )


def _engine_view(engine: EngineClient) -> EngineView:
    status = engine.status
    return EngineView(status.state == "ready", status.restarts, status.num_in_flight, status.heartbeat_age_seconds, status.stats)


def _add_routes(app: FastAPI, *, is_api_only: bool) -> None:
    apis = (chat_routes, completions_routes, responses_routes, messages_routes, embeddings_routes, models_routes)
    for module in (
        *apis,
        tokenize_routes,
        requests_routes,
        admin_models_routes,
        admin_cache_routes,
        system_routes,
        health_routes,
    ):
        app.include_router(module.router)
    app.include_router(page_router(is_api_only=is_api_only))

    add_docs(app)


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> None:
    """Innermost first: a request passes them from the last to the first."""
    app.add_middleware(BodyGuard, max_bytes=settings.max_body)
    app.add_middleware(RefuseWhileDraining, lifecycle=lifecycle)
    limiter = RateLimiter(limits_of(settings))
    app.add_middleware(RateLimits, limiter=limiter)
    app.add_middleware(KeysGuard, routes=app.routes, limiter=limiter, is_key_asked=settings.is_key_asked)
    app.add_middleware(AuditTrail, audit=AuditLog(settings.prompt_cache_dir.parent / "audit.jsonl"))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["*"],
        expose_headers=[*ANSWER_HEADERS, *RATE_LIMIT_HEADERS, "request-id", "retry-after"],
        max_age=600,
    )
    app.add_middleware(HostGuard, settings=settings)
    app.add_middleware(RequestContext, metrics=metrics, lifecycle=lifecycle)
    tracing = open_tracing(settings.otlp_endpoint, service="mlx-hub-inference", version=health_routes.VERSION, prefix="mlx")
    if tracing is not None:
        metrics.add(tracing.counts)
        app.add_middleware(TraceRequests, tracing=tracing)
