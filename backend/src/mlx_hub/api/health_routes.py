"""Health for people, supervisors and Prometheus."""

import asyncio
import time
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from mlx_hub.api.deps import Services, ServicesDep
from mlx_hub.api.problems import documented_errors
from mlx_hub.observability.metrics import CONTENT_TYPE
from mlx_hub.services.health import (
    CheckResult,
    check_database,
    check_inference,
    check_mlflow,
    check_storage,
    check_worker,
    count_rows,
    read_platform,
)
from mlx_hub.services.system_gauges import render_gauges

router = APIRouter(tags=["Health"])

VERSION = version("mlx-hub")
_NEW_SECONDS = 5.0
"""What was sampled longer ago says nothing of now."""


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    version: str
    checks: dict[str, CheckResult]


class Alive(BaseModel):
    status: Literal["alive"]


class Ready(BaseModel):
    ready: bool
    checks: dict[str, CheckResult]


async def _checks(services: Services) -> dict[str, CheckResult]:
    is_draining = services.lifecycle.is_draining
    database, storage = await asyncio.gather(check_database(services.readers), check_storage(services.settings))
    return {
        "accepting": CheckResult(ok=not is_draining, detail="shutting down" if is_draining else None),
        "database": database,
        "storage": storage,
    }


async def _checks_of_others(services: Services) -> dict[str, CheckResult]:
    """Of what the API can do without: it takes requests, and who shall do the work is not there."""
    settings = services.settings
    worker, inference, mlflow = await asyncio.gather(
        check_worker(services.readers, lease_seconds=settings.lease_seconds),
        check_inference(services.inference, settings),
        check_mlflow(services.readers, settings),
    )
    return {"worker": worker, "inference": inference, "mlflow": mlflow}


@router.get("/health", summary="Is it well", responses=documented_errors())
async def get_health(services: ServicesDep) -> Health:
    """Always 200 while the process answers; `degraded` when something in `/health/ready` is not as it should be, or when
    no worker runs, the inference server does not answer, or MLflow is more than a minute behind."""
    own, others = await asyncio.gather(_checks(services), _checks_of_others(services))
    checks = own | others
    is_ok = all(check.ok for check in checks.values())
    return Health(status="ok" if is_ok else "degraded", version=VERSION, checks=checks)


@router.get("/health/live", summary="Is the process alive", responses=documented_errors())
async def get_liveness() -> Alive:
    """200 as long as the event loop turns."""
    return Alive(status="alive")


@router.get("/health/ready", summary="Can it take requests", responses={**documented_errors(), 503: {"model": Ready}})
async def get_readiness(response: Response, services: ServicesDep) -> Ready:
    """503 while the database or a folder cannot be used, and from the first moment of a shutdown."""
    checks = await _checks(services)
    is_ready = all(check.ok for check in checks.values())
    response.status_code = 200 if is_ready else 503
    return Ready(ready=is_ready, checks=checks)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={**documented_errors(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(services: ServicesDep) -> Response:
    """Text format 0.0.4."""
    services.metrics.show_rows(await count_rows(services.readers))
    services.metrics.show_platform(await read_platform(services.readers, services.settings))
    system = render_gauges(services.system.history(time.time() - _NEW_SECONDS))
    return Response(services.metrics.render() + system, media_type=CONTENT_TYPE)
