"""Health for people, supervisors and Prometheus."""

import time
from importlib.metadata import version

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from unified_mlx_app.api.admin_cache_schemas import CacheStatsBody
from unified_mlx_app.api.deps import Services, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.health_schemas import (
    AdminHealth,
    Alive,
    Check,
    DeepCheck,
    DeepHealth,
    DefaultModelHealth,
    EngineHealth,
    Health,
    Ready,
    Started,
)
from unified_mlx_app.api.models_schemas import resident_body
from unified_mlx_app.api.policies import needs, public
from unified_mlx_app.observability.metrics import CONTENT_TYPE
from unified_mlx_app.services.health_checks import DECIDE_READY
from unified_mlx_app.services.system_gauges import render_gauges

router = APIRouter(tags=["Health"])

VERSION = version("unified-mlx-app")
_STALLED_SECONDS = 60.0
"""The engine speaks once a second between two turns of its loop; a turn is one step or one prefill chunk."""
_NEW_SECONDS = 5.0
"""What was sampled longer ago says nothing of now."""


def _checks(services: Services) -> dict[str, Check]:
    engine = services.engine.status
    default = services.registry.default_status()
    is_stalled = engine.heartbeat_age_seconds > _STALLED_SECONDS
    detail = f"the engine is {engine.state}" if engine.state != "ready" else "the engine's loop hangs" if is_stalled else None
    # Without the default model the demo model answers: worth telling, no reason to send clients away.
    return {
        "accepting": Check(
            ok=not services.lifecycle.is_draining, detail="shutting down" if services.lifecycle.is_draining else None
        ),
        "engine": Check(ok=engine.state == "ready" and not is_stalled, detail=detail),
        "default_model": Check(ok=True, detail=None if default.state == "ready" else default.reason or default.state),
    }


def _status(services: Services) -> str:
    is_ok = all(check.ok for check in _checks(services).values()) and services.registry.default_status().state == "ready"
    return "ok" if is_ok else "degraded"


@router.get("/health", summary="Is it well", responses=documented_errors())
@public
async def get_health(services: ServicesDep) -> Health:
    """Always 200 while the process answers; `degraded` when something in `/health/ready` is not as it should be."""
    return Health.model_validate({"status": _status(services), "version": VERSION})


@router.get("/health/live", summary="Is the process alive", responses=documented_errors())
@public
async def get_liveness() -> Alive:
    """200 as long as the event loop turns; the engine has a supervisor of its own."""
    return Alive(status="alive")


@router.get("/health/ready", summary="Can it take requests", responses={**documented_errors(), 503: {"model": Ready}})
@public
async def get_readiness(response: Response, services: ServicesDep) -> Ready:
    """503 while the engine starts or is down, and from the first moment of a shutdown."""
    checks = _checks(services)
    is_ready = all(check.ok for check in checks.values())
    response.status_code = 200 if is_ready else 503
    return Ready(ready=is_ready, checks=checks)


@router.get("/health/startup", summary="Has it started", responses={**documented_errors(), 503: {"model": Started}})
@public
async def get_startup(response: Response, services: ServicesDep) -> Started:
    """503 until the engine was ready for the first time; then 200, whatever happens later."""
    checks = _checks(services)
    del checks["accepting"]
    response.status_code = 200 if services.health.has_started else 503
    return Started(started=services.health.has_started, checks=checks)


@router.get(
    "/health/deep", summary="Does all that it stands on work", responses={**documented_errors(), 503: {"model": DeepHealth}}
)
@needs("read", is_limited=False)
async def get_deep_health(response: Response, services: ServicesDep) -> DeepHealth:
    """Asks everything at once, for at most two seconds each: database, engine and its heartbeat, the cache's disk tier, disk,
    memory, accelerator. 503 when one fails that decides readiness: `accepting`, `engine`."""
    accepting = _checks(services)["accepting"]
    checks = {
        "accepting": DeepCheck(
            status="ok" if accepting.ok else "failed", milliseconds=0.0, message=accepting.detail, decides_ready=True
        )
    }
    for name, result in (await services.health.read()).items():
        checks[name] = DeepCheck(
            status=result.status, milliseconds=result.milliseconds, message=result.message, decides_ready=name in DECIDE_READY
        )
    is_failing = any(check.decides_ready and check.status == "failed" for check in checks.values())
    is_ok = all(check.status == "ok" for check in checks.values())
    response.status_code = 503 if is_failing else 200
    return DeepHealth(status="failing" if is_failing else "ok" if is_ok else "degraded", version=VERSION, checks=checks)


@router.get("/admin/health", summary="Everything about this server", responses=documented_errors())
@needs("read")
async def get_admin_health(services: ServicesDep) -> AdminHealth:
    """Engine, default model, resident models and prompt cache in one answer."""
    engine = services.engine.status
    stats = engine.stats
    default = services.registry.default_status()
    return AdminHealth.model_validate(
        {
            "status": _status(services),
            "version": VERSION,
            "uptime_seconds": time.time() - services.lifecycle.started_at,
            "checks": _checks(services),
            "engine": EngineHealth(
                state=engine.state,
                pid=engine.pid,
                restarts=engine.restarts,
                device=engine.device,
                heartbeat_age_seconds=engine.heartbeat_age_seconds,
                requests_in_flight=engine.num_in_flight,
                requests_running=stats.num_running if stats else 0,
                requests_waiting=stats.num_waiting if stats else 0,
                steps=stats.steps if stats else 0,
                prompt_tokens=stats.prompt_tokens if stats else 0,
                cached_prompt_tokens=stats.cached_prompt_tokens if stats else 0,
                generated_tokens=stats.generated_tokens if stats else 0,
                active_memory_bytes=stats.active_memory_bytes if stats else 0,
                peak_memory_bytes=stats.peak_memory_bytes if stats else 0,
                kv_bytes=stats.kv_bytes if stats else 0,
            ),
            "default_model": DefaultModelHealth(
                name=default.name,
                state=default.state,
                bytes_done=default.bytes_done,
                bytes_total=default.bytes_total,
                reason=default.reason,
            ),
            "resident_models": [resident_body(model) for model in stats.resident] if stats else [],
            "prompt_cache": CacheStatsBody(**msgspec.structs.asdict(stats.cache)) if stats else None,
        }
    )


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={**documented_errors(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@needs("read", is_limited=False)
async def get_metrics(services: ServicesDep) -> Response:
    """Text format 0.0.4."""
    system = render_gauges(services.system.history(time.time() - _NEW_SECONDS))
    return Response(services.metrics.render() + system, media_type=CONTENT_TYPE)
