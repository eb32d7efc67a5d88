"""What a worker process has for all the work it does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.engine import URL

from mlx_hub.config import Settings
from mlx_hub.db import Sessions, create_engine, create_sessions
from mlx_hub.observability.worker_metrics import WorkerMetrics
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.hub_client import HubClient
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.machines import store_id
from mlx_hub.services.promotions import Promotions


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Opened by the worker, used on its event loop. `readers` makes sessions that only read."""

    settings: Settings
    sessions: Sessions
    readers: Sessions
    hub: HubClient
    folder: CacheFolder
    inference: InferenceClient
    promotions: Promotions
    machine_id: str
    store_id: str
    core: CoreProcesses
    metrics: WorkerMetrics


@asynccontextmanager
async def open_context(settings: Settings, database: URL, *, machine_id: str) -> AsyncGenerator[WorkerContext]:
    """It works inside the block, and its processes and connections end with it."""
    engine = create_engine(database)
    sessions, readers = create_sessions(engine), create_sessions(engine, is_read_only=True)
    inference = InferenceClient(settings.inference_url, settings.inference_api_key)
    hub = HubClient(settings.hub_endpoint, settings.hub_token)
    core = CoreProcesses()
    try:
        yield WorkerContext(
            settings=settings,
            sessions=sessions,
            readers=readers,
            hub=hub,
            folder=CacheFolder(settings.model_cache_dir),
            inference=inference,
            promotions=Promotions(sessions, readers, inference),
            machine_id=machine_id,
            store_id=await asyncio.to_thread(store_id, settings.data_dir),
            core=core,
            metrics=WorkerMetrics(),
        )
    finally:
        await core.close()
        await hub.close()
        await inference.close()
        await engine.dispose()
