"""`/system`: the state of the platform on one page."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from mlx_hub.api.access import READ, READ_AS_ADMIN
from mlx_hub.api.deps import ServicesDep, SessionDep
from mlx_hub.api.downloads_schemas import CacheUsagePublic
from mlx_hub.api.health_routes import VERSION
from mlx_hub.api.problems import documented_errors
from mlx_hub.api.system_metrics_schemas import SystemMetricsPublic, system_metrics_public
from mlx_hub.api.system_schemas import (
    HostPublic,
    InferencePublic,
    MachinePublic,
    MlflowPublic,
    SettingPublic,
    SettingsPublic,
    StoragePublic,
    SystemPublic,
)
from mlx_hub.services import model_cache
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.setting_facts import describe_settings
from mlx_hub.services.system import (
    SystemProbe,
    SystemReading,
    list_machines,
    read_inference_state,
    read_mlflow_state,
)

router = APIRouter(prefix="/system", tags=["System"])

_CPU_SPAN_SECONDS = 0.1


@router.get("", summary="State of the platform", responses=documented_errors(), openapi_extra=READ)
async def get_system(services: ServicesDep, session: SessionDep) -> SystemPublic:
    """Workers and when they were last seen, this machine, the model cache, MLflow and the inference server."""
    settings = services.settings
    host, inference = await asyncio.gather(
        _read_host(SystemProbe(settings.data_dir)), read_inference_state(services.inference, settings.inference_url)
    )
    machines = await list_machines(session, lease_seconds=settings.lease_seconds)
    folder, max_bytes = CacheFolder(settings.model_cache_dir), settings.model_cache_max_size
    usage = await model_cache.read_usage(session, folder, services.store_id, max_bytes=max_bytes)
    return SystemPublic(
        version=VERSION,
        store_id=services.store_id,
        host=HostPublic(**asdict(host)),
        machines=[MachinePublic(**asdict(machine)) for machine in machines],
        model_cache=CacheUsagePublic(**asdict(usage)),
        mlflow=MlflowPublic(**asdict(await read_mlflow_state(session, settings))),
        inference=InferencePublic(**asdict(inference)),
    )


@router.get("/metrics", summary="Fifteen minutes of figures", responses=documented_errors(), openapi_extra=READ)
async def get_system_metrics(
    services: ServicesDep,
    since: Annotated[
        float | None, Query(ge=0, description="Only what came after; the last of `times` that a client has.")
    ] = None,
) -> SystemMetricsPublic:
    """Machine, process, accelerator and training, a sample a second in columns, with events for the time axis.

    What no sensor tells is null, and `accelerator.reason` says why.
    """
    return system_metrics_public(services.system.history(since))


@router.get("/storage", summary="What lies on the disk", responses=documented_errors(), openapi_extra=READ)
async def get_storage(services: ServicesDep) -> StoragePublic:
    """Bytes and files of each folder. Files are counted in the background of the request, at most every half minute."""
    found = await services.storage.read()
    return StoragePublic(**asdict(found))


@router.get("/settings", summary="Settings in force", responses=documented_errors(), openapi_extra=READ_AS_ADMIN)
async def get_settings(services: ServicesDep) -> SettingsPublic:
    """What this service runs with, by environment variable. They are read at the start: a change needs a restart."""
    return SettingsPublic(settings=[SettingPublic(**asdict(fact)) for fact in describe_settings(services.settings)])


async def _read_host(probe: SystemProbe) -> SystemReading:
    """Two looks, as the share of the CPU is one between them."""
    await asyncio.to_thread(probe.read)
    await asyncio.sleep(_CPU_SPAN_SECONDS)
    return await asyncio.to_thread(probe.read)
