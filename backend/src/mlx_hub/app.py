"""Builds the API process: settings in, an ASGI application out, whose lifespan holds everything that lives.

No module keeps state: two applications in one process share nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from mlx_hub.api.access import declare_access
from mlx_hub.api.audit_trail import AuditTrail
from mlx_hub.api.body_guard import BodyGuard
from mlx_hub.api.deps import LifespanState, Services
from mlx_hub.api.docs_routes import add_docs
from mlx_hub.api.error_handlers import add_error_handlers
from mlx_hub.api.health_routes import VERSION
from mlx_hub.api.host_guard import HostGuard
from mlx_hub.api.keys_guard import KeysGuard
from mlx_hub.api.middleware import RefuseWhileDraining, RequestContext
from mlx_hub.api.problems import declare_problem_json
from mlx_hub.api.rate_limits import RateLimiter, RateLimits
from mlx_hub.api.request_tracing import TraceRequests
from mlx_hub.api.router import API_PREFIX, UPLOAD_PATHS, all_routes
from mlx_hub.config import Settings
from mlx_hub.db import async_url, create_engine, create_sessions, upgrade
from mlx_hub.observability.audit import AuditLog
from mlx_hub.observability.metrics import Metrics
from mlx_hub.observability.tracing import open_tracing
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_store import sweep
from mlx_hub.services.event_stream import EventFeed
from mlx_hub.services.health_checks import HealthChecks
from mlx_hub.services.hub_client import HubClient
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.key_ring import KeyRing
from mlx_hub.services.lifecycle import Lifecycle
from mlx_hub.services.machines import store_id
from mlx_hub.services.promotions import Promotions
from mlx_hub.services.storage_usage import StorageUsage
from mlx_hub.services.system import SystemProbe
from mlx_hub.services.system_metrics import SystemMetrics

log = structlog.get_logger(__name__)

_DESCRIPTION = """Find, download, fine-tune and register MLX models.

Errors are problem+json (RFC 9457) with a stable `code`, the `request_id` and the `errors` of single fields. Lists are
`{items, total, page, page_size}`. POSTs that create take an `Idempotency-Key`."""


class HubApp(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return declare_problem_json(declare_access(super().openapi()))


def create_app(settings: Settings, *, lifecycle: Lifecycle | None = None) -> FastAPI:
    """The application; nothing starts before its lifespan does."""
    lifecycle = lifecycle or Lifecycle()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[LifespanState]:
        async with _running(settings, metrics, lifecycle) as services:
            yield {"services": services}

    app = HubApp(
        title="MLX Model Hub · backend",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(all_routes())
    add_docs(app)
    _add_middleware(app, settings, metrics, lifecycle)
    add_error_handlers(app)
    return app


@asynccontextmanager
async def _running(settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> AsyncGenerator[Services]:
    """Everything that lives while the application does."""
    url = async_url(settings.database_url, data_dir=settings.data_dir)
    await upgrade(url)
    database = create_engine(url)
    sessions, readers = create_sessions(database), create_sessions(database, is_read_only=True)
    inference = InferenceClient(settings.inference_url, settings.inference_api_key)
    promotions = Promotions(sessions, readers, inference)
    hub = HubClient(settings.hub_endpoint, settings.hub_token)
    core = CoreProcesses()
    store = await asyncio.to_thread(store_id, settings.data_dir)
    events = EventFeed(readers, lifecycle, SystemProbe(settings.data_dir, machine_id=settings.machine_id), metrics)
    system, storage = SystemMetrics(readers, data_dir=settings.data_dir), StorageUsage(settings)
    health = HealthChecks(settings, readers, inference, system)
    services = Services(
        settings,
        store,
        sessions,
        readers,
        promotions,
        hub,
        metrics,
        lifecycle,
        core,
        events,
        inference,
        system,
        storage,
        health,
        KeyRing(readers, settings.api_key),
    )
    try:
        system.start()
        await sweep(DatasetContext(settings, sessions, readers, core))
        async with events.running():
            with lifecycle.following_signals():
                log.info("server_started", version=VERSION)
                yield services
    finally:
        await health.close()
        await system.close()
        await core.close()
        await hub.close()
        await inference.close()
        await database.dispose()
        log.info("server_stopped")


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> None:
    """Innermost first: a request passes them from the last to the first."""
    app.add_middleware(BodyGuard, max_bytes=settings.max_body, max_upload_bytes=settings.max_upload, upload_paths=UPLOAD_PATHS)
    app.add_middleware(RefuseWhileDraining, lifecycle=lifecycle)
    limiter = RateLimiter(settings)
    app.add_middleware(RateLimits, limiter=limiter)
    app.add_middleware(KeysGuard, routes=app.routes, limiter=limiter, settings=settings)
    app.add_middleware(AuditTrail, audit=AuditLog(settings.data_dir))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after", "www-authenticate", "ratelimit", "ratelimit-policy"],
        max_age=600,
    )
    app.add_middleware(HostGuard, settings=settings)
    app.add_middleware(RequestContext, metrics=metrics, lifecycle=lifecycle, api_prefix=API_PREFIX)
    tracing = open_tracing(settings.otlp_endpoint, service="mlx-hub-backend", version=VERSION, prefix="mlx_hub")
    if tracing is not None:
        metrics.add(tracing.counts)
        app.add_middleware(TraceRequests, tracing=tracing, api_prefix=API_PREFIX)
