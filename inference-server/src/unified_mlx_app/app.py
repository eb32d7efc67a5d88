"""Builds the API process: settings in, an ASGI application out, whose lifespan holds everything that lives.

No module keeps state: two applications in one process share nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.middleware.cors import CORSMiddleware

from unified_mlx_app.api import (
    admin_cache_routes,
    admin_models_routes,
    chat_routes,
    completions_routes,
    health_routes,
    models_routes,
)
from unified_mlx_app.api.answers import ANSWER_HEADERS
from unified_mlx_app.api.body_guard import BodyGuard
from unified_mlx_app.api.deps import LifespanState, Services
from unified_mlx_app.api.error_handlers import add_error_handlers
from unified_mlx_app.api.middleware import LoopbackGuard, RefuseWhileDraining, RequestContext, RequireKey
from unified_mlx_app.api.page_routes import page_router
from unified_mlx_app.config import Settings
from unified_mlx_app.db import async_url, create_engine, create_sessions, upgrade
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.observability.metrics import EngineView, Metrics
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.generation_service import GenerationService
from unified_mlx_app.services.lifecycle import Lifecycle
from unified_mlx_app.services.tokenizers import Tokenizers

log = structlog.get_logger(__name__)

_DESCRIPTION = """OpenAI-compatible inference on MLX with a prompt cache that survives restarts.

Errors have OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`. Every response carries `x-request-id`."""
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data: https://fastapi.tiangolo.com; "
    "script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net"
)


def create_app(settings: Settings, *, lifecycle: Lifecycle | None = None, is_api_only: bool = False) -> FastAPI:
    """The application; nothing starts before its lifespan does."""
    lifecycle = lifecycle or Lifecycle()
    engine = EngineClient(settings)
    lifecycle.on_cut(lambda: engine.stop(0))
    metrics = Metrics(lambda: _engine_view(engine))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[LifespanState, None]:
        url = async_url(settings.database_url)
        await upgrade(url)
        database = create_engine(url)
        registry = ModelRegistry(settings, create_sessions(database))
        tokenizers = Tokenizers()
        templates = ChatTemplates(tokenizers)
        generation = GenerationService(
            settings=settings, engine=engine, registry=registry, tokenizers=tokenizers, templates=templates, metrics=metrics
        )
        await engine.start()
        try:
            await templates.start()
            await registry.start()
            log.info("server_started", version=health_routes.VERSION)
            yield {"services": Services(settings, engine, registry, generation, metrics, lifecycle)}
        finally:
            await engine.stop(0)
            await templates.close()
            await registry.close()
            await database.dispose()
            log.info("server_stopped")

    app = FastAPI(
        title="MLX Model Hub · inference",
        version=health_routes.VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_routes(app, is_api_only=is_api_only)
    _add_middleware(app, settings, metrics, lifecycle)
    add_error_handlers(app)
    return app


def _engine_view(engine: EngineClient) -> EngineView:
    status = engine.status
    return EngineView(status.state == "ready", status.restarts, status.num_in_flight, status.stats)


def _add_routes(app: FastAPI, *, is_api_only: bool) -> None:
    for module in (chat_routes, completions_routes, models_routes, admin_models_routes, admin_cache_routes, health_routes):
        app.include_router(module.router)
    app.include_router(page_router(is_api_only=is_api_only))

    @app.get("/docs", include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        page = get_swagger_ui_html(openapi_url="/openapi.json", title=app.title)
        page.headers["content-security-policy"] = _DOCS_POLICY
        return page


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> None:
    """Innermost first: a request passes them from the last to the first."""
    app.add_middleware(BodyGuard, max_bytes=settings.max_body)
    app.add_middleware(RefuseWhileDraining, lifecycle=lifecycle)
    if settings.api_key is not None:
        app.add_middleware(RequireKey, api_key=settings.api_key.get_secret_value())
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["*"],
        expose_headers=[*ANSWER_HEADERS, "retry-after"],
        max_age=600,
    )
    if settings.is_loopback:
        app.add_middleware(LoopbackGuard, host=settings.host, cors_origins=settings.cors_origins)
    app.add_middleware(RequestContext, metrics=metrics, lifecycle=lifecycle)
