"""What the health routes answer."""

from typing import Literal

from pydantic import BaseModel

from mlx_hub.services.dependency_check import CheckResult, CheckStatus


class CheckState(BaseModel):
    """One thing; `detail` says what is the matter."""

    ok: bool
    detail: str | None


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    version: str
    checks: dict[str, CheckState]


class Alive(BaseModel):
    status: Literal["alive"]


class Started(BaseModel):
    started: bool


class Ready(BaseModel):
    ready: bool
    checks: dict[str, CheckState]


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


def check_state(result: CheckResult) -> CheckState:
    """A warning is told, and it is well enough."""
    return CheckState(ok=result.status in {"ok", "warning"}, detail=None if result.status == "ok" else result.message)
