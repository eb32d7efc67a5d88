"""What clients get about the platform as a whole. Sizes are in bytes; null is what cannot be found out."""

from datetime import datetime

from pydantic import BaseModel, Field

from mlx_hub.api.downloads_schemas import CacheUsagePublic
from mlx_hub.services.storage_usage import FolderName


class HostPublic(BaseModel):
    """The machine that the API runs on. The share of the CPU is of all cores together."""

    cpu_percent: float | None
    load_1_minute: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_total_bytes: int | None
    disk_free_bytes: int | None


class MachinePublic(BaseModel):
    """A machine with a worker; one that is not alive was last seen then."""

    id: str
    hostname: str
    store_id: str = Field(description="Machines with the same one share a data folder, and the work on what is in it.")
    device: str
    memory_bytes: int
    version: str
    started_at: datetime
    last_seen_at: datetime
    is_alive: bool


class MlflowPublic(BaseModel):
    """How far MLflow follows; training never waits for it."""

    uri: str
    ui_url: str | None = Field(description="Of its pages, a run's at `/#/runs/RUN_ID`; null for a store without a server.")
    num_pending_rows: int
    num_set_aside_rows: int = Field(description="What MLflow refused; the worker's log says why.")
    seconds_behind: float = Field(description="Age of the oldest thing that MLflow does not know yet.")
    told_at: datetime | None
    error: str | None = Field(description="Why it does not follow; null while it does.")
    error_at: datetime | None


class FolderUsagePublic(BaseModel):
    name: FolderName
    num_bytes: int = Field(description="As the disk holds them.")
    num_files: int


class StoragePublic(BaseModel):
    """What lies where, measured within the last half minute."""

    folders: list[FolderUsagePublic]
    disk_total_bytes: int | None = Field(description="Of the disk that holds the data folder.")
    disk_free_bytes: int | None
    measured_at: datetime
    is_complete: bool = Field(description="False when the time was up before all files were counted.")


class InferencePublic(BaseModel):
    """Whether the inference server answers; `detail` says what is the matter."""

    url: str
    is_reachable: bool
    detail: str | None


class SystemPublic(BaseModel):
    """The platform as this process sees it."""

    version: str
    store_id: str
    host: HostPublic
    machines: list[MachinePublic]
    model_cache: CacheUsagePublic
    mlflow: MlflowPublic
    inference: InferencePublic


class SettingPublic(BaseModel):
    """One setting of this service, written as in the environment; a secret is told as "set" or null."""

    variable: str
    value: str | None
    default: str | None
    is_secret: bool
    description: str


class SettingsPublic(BaseModel):
    settings: list[SettingPublic]
