"""What the health routes answer."""

from typing import Literal

from pydantic import BaseModel

from unified_mlx_app.api.admin_cache_schemas import CacheStatsBody
from unified_mlx_app.api.models_schemas import ResidentModelBody
from unified_mlx_app.services.dependency_check import CheckStatus


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    version: str


class Alive(BaseModel):
    status: Literal["alive"]


class Check(BaseModel):
    """One dependency; `detail` says what is the matter."""

    ok: bool
    detail: str | None


class Ready(BaseModel):
    ready: bool
    checks: dict[str, Check]


class Started(BaseModel):
    started: bool
    checks: dict[str, Check]


class DeepCheck(BaseModel):
    """`message` says what was found and, when that is not well, what to do; `decides_ready`: without it the answer is 503."""

    status: CheckStatus
    milliseconds: float
    message: str | None
    decides_ready: bool


class DeepHealth(BaseModel):
    """`failing` when something that decides readiness failed, `degraded` when anything else is not well."""

    status: Literal["ok", "degraded", "failing"]
    version: str
    checks: dict[str, DeepCheck]


class EngineHealth(BaseModel):
    state: Literal["starting", "ready", "down", "stopped"]
    pid: int | None
    restarts: int
    device: str | None
    heartbeat_age_seconds: float
    requests_in_flight: int
    requests_running: int
    requests_waiting: int
    steps: int
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    active_memory_bytes: int
    peak_memory_bytes: int
    kv_bytes: int


class DefaultModelHealth(BaseModel):
    name: str
    state: str
    bytes_done: int
    bytes_total: int | None
    reason: str | None


class AdminHealth(BaseModel):
    """Everything that the server knows about itself."""

    status: Literal["ok", "degraded"]
    version: str
    uptime_seconds: float
    checks: dict[str, Check]
    engine: EngineHealth
    default_model: DefaultModelHealth
    resident_models: list[ResidentModelBody]
    prompt_cache: CacheStatsBody | None
