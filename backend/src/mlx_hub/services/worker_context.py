"""What a worker process has for all the work it does."""

from dataclasses import dataclass

from mlx_hub.config import Settings
from mlx_hub.db import Sessions
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.hub_client import HubClient
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.promotions import Promotions


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Built by the worker, used on its event loop. `readers` makes sessions that only read."""

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
