"""Health for people, supervisors and Prometheus."""

import time
from importlib.metadata import version

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from mlx_hub.api.access import MONITOR, PUBLIC
from mlx_hub.api.deps import Services, ServicesDep
from mlx_hub.api.health_schemas import Alive, CheckState, DeepCheck, DeepHealth, Health, Ready, Started, check_state
from mlx_hub.api.problems import documented_errors
from mlx_hub.observability.metrics import CONTENT_TYPE
from mlx_hub.services.health_checks import DECIDE_READY
from mlx_hub.services.platform_counts import count_rows, read_platform
from mlx_hub.services.system_gauges import render_gauges

router = APIRouter(tags=["Health"])

VERSION = version("mlx-hub")
_NEW_SECONDS = 5.0
"""What was sampled longer ago says nothing of now."""


_NEEDED = ("worker", "inference", "mirror")
"""What the API can do without: it takes requests, and who shall do the work is not there."""


def _accepting(services: Services) -> CheckState:
    is_draining = services.lifecycle.is_draining
    return CheckState(ok=not is_draining, detail="shutting down" if is_draining else None)


async def _states(services: Services, names: tuple[str, ...]) -> dict[str, CheckState]:
    return {name: check_state(result) for name, result in (await services.health.read(names)).items()}


@router.get("/health", summary="Is it well", responses=documented_errors(), openapi_extra=PUBLIC)
async def get_health(services: ServicesDep) -> Health:
    """Always 200 while the process answers; `degraded` when something in `/health/ready` is not as it should be, or when
    no worker runs, the inference server does not answer, or MLflow is more than a minute behind."""
    states = await _states(services, (*DECIDE_READY, *_NEEDED))
    checks = {"accepting": _accepting(services), **states, "mlflow": states["mirror"]}
    del checks["mirror"]
    is_ok = all(check.ok for check in checks.values())
    return Health(status="ok" if is_ok else "degraded", version=VERSION, checks=checks)


@router.get("/health/live", summary="Is the process alive", responses=documented_errors(), openapi_extra=PUBLIC)
async def get_liveness() -> Alive:
    """200 as long as the event loop turns."""
    return Alive(status="alive")


@router.get(
    "/health/ready",
    summary="Can it take requests",
    responses={**documented_errors(), 503: {"model": Ready}},
    openapi_extra=PUBLIC,
)
async def get_readiness(response: Response, services: ServicesDep) -> Ready:
    """503 while the database or a folder cannot be used, and from the first moment of a shutdown."""
    checks = {"accepting": _accepting(services), **await _states(services, DECIDE_READY)}
    is_ready = all(check.ok for check in checks.values())
    response.status_code = 200 if is_ready else 503
    return Ready(ready=is_ready, checks=checks)


@router.get("/health/startup", summary="Has it started", responses=documented_errors(), openapi_extra=PUBLIC)
async def get_startup() -> Started:
    """200 once the tables are up to date and what a crash left behind is swept; before that nobody answers on this port."""
    return Started(started=True)


@router.get(
    "/health/deep",
    summary="Does all that it stands on work",
    responses={**documented_errors(), 503: {"model": DeepHealth}},
    openapi_extra=MONITOR,
)
async def get_deep_health(response: Response, services: ServicesDep) -> DeepHealth:
    """Asks everything at once, for at most two seconds each: database, folders, disk, memory, accelerator, workers,
    inference server, MLflow. 503 when one fails that decides readiness: `accepting`, `database`, `storage`, `disk`."""
    accepting = _accepting(services)
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


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={**documented_errors(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    openapi_extra=MONITOR,
)
async def get_metrics(services: ServicesDep) -> Response:
    """Text format 0.0.4."""
    services.metrics.show_rows(await count_rows(services.readers))
    services.metrics.show_platform(await read_platform(services.readers, services.settings))
    system = render_gauges(services.system.history(time.time() - _NEW_SECONDS))
    return Response(services.metrics.render() + system, media_type=CONTENT_TYPE)
