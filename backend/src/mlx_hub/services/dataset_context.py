"""What the work on datasets needs of the process that does it."""

from dataclasses import dataclass

from mlx_hub.config import Settings
from mlx_hub.db import Sessions
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.dataset_folder import DatasetFolder


@dataclass(frozen=True, slots=True)
class DatasetContext:
    """Used on the event loop. `readers` makes sessions that only read."""

    settings: Settings
    sessions: Sessions
    readers: Sessions
    core: CoreProcesses

    @property
    def folder(self) -> DatasetFolder:
        return DatasetFolder.of(self.settings.data_dir)

    @property
    def model_cache(self) -> CacheFolder:
        return CacheFolder(self.settings.model_cache_dir)
