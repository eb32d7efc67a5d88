"""`/admin/system` and `/admin/requests`: what the machine and the engine do, for dashboards."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from unified_mlx_app.api.deps import ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.system_schemas import (
    RunningRequestBody,
    RunningRequestList,
    SettingBody,
    SettingList,
    SystemMetricsBody,
    system_metrics_body,
)
from unified_mlx_app.services.setting_facts import describe_settings

router = APIRouter(prefix="/admin", tags=["Admin: system"])


@router.get("/system/metrics", summary="Fifteen minutes of figures", responses=documented_errors())
@needs("read")
async def get_system_metrics(
    services: ServicesDep,
    since: Annotated[
        float | None, Query(ge=0, description="Only what came after; the last of `times` that a client has.")
    ] = None,
) -> SystemMetricsBody:
    """Machine, process, accelerator and serving, a sample a second in columns, with events for the time axis.

    What no sensor tells is null, and `accelerator.reason` says why.
    """
    return system_metrics_body(services.system.history(since))


@router.get("/requests", summary="Requests that run or wait", responses=documented_errors())
@needs("read")
async def list_requests(services: ServicesDep) -> RunningRequestList:
    """The oldest first. `POST /v1/requests/{id}/cancel` ends one."""
    running = services.engine.running_requests()
    return RunningRequestList(object="list", requests=[RunningRequestBody(**asdict(request)) for request in running])


@router.get("/settings", summary="Settings in force", responses=documented_errors())
@needs("admin")
async def get_settings(services: ServicesDep) -> SettingList:
    """What this server runs with, by environment variable. They are read at the start: a change needs a restart."""
    return SettingList(settings=[SettingBody(**asdict(fact)) for fact in describe_settings(services.settings)])
