"""What clients send and get about training jobs, beside the job itself, which is in `services/training_events.py`."""

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field, JsonValue, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from mlx_hub.core.preflight import PreflightReport
from mlx_hub.core.run_config import TrainingConfig
from mlx_hub.models.base import Name, WireId, WireModel
from mlx_hub.models.job import PromotionRule
from mlx_hub.services.metrics_series import SeriesPoint
from mlx_hub.services.training_request import NewJob

_MAX_STEPS, _MAX_EPOCHS = 10_000_000, 10_000


def _inline_schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a msgspec type, with everything that it refers to in its place."""
    _, components = msgspec.json.schema_components([kind], ref_template="{name}")

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return resolve(components[value["$ref"]]) if "$ref" in value else {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    return resolve(components[kind.__name__])


Settings = Annotated[dict[str, JsonValue], WithJsonSchema(_inline_schema(TrainingConfig))]
Report = Annotated[dict[str, Any], WithJsonSchema(_inline_schema(PreflightReport))]


class TrainingCreate(WireModel):
    """What to train, on what, and how."""

    model_id: WireId = Field(description="A registered base model, downloaded.")
    dataset_id: WireId
    config: Settings = Field(default_factory=dict, description="Settings that differ from their defaults.")
    name: Name | None = Field(None, description="Of the job; default: the adapter's.")
    adapter_name: Name | None = Field(
        None,
        description="The registered model that the result becomes a version of: a new one, or an adapter of the same base model. "
        "Default: made from the names of model and dataset.",
    )
    promotion: Annotated[PromotionRule, Field(strict=False)] = Field(
        PromotionRule.IF_FIRST,
        description="When the alias champion moves to the result: if_first (and better than the base model), always, never. "
        "The alias latest always moves.",
    )

    def wanted(self) -> NewJob:
        return NewJob(**{name: getattr(self, name) for name in type(self).model_fields})


class TrainingExtend(WireModel):
    """How long the run shall be in all; one of the two."""

    steps: Annotated[int, Field(ge=1, le=_MAX_STEPS)] | None = None
    epochs: Annotated[int, Field(ge=1, le=_MAX_EPOCHS)] | None = None

    @model_validator(mode="after")
    def _has_one(self) -> "TrainingExtend":
        if (self.steps is None) == (self.epochs is None):
            raise PydanticCustomError("one_of", "say either steps or epochs")
        return self


class PreflightPublic(BaseModel):
    """What a run would do. It cannot start when `refusal` is not null."""

    report: Report
    base_commit: str | None
    machine_memory_bytes: int = Field(description="Of the machine that answers; `report.total_memory_bytes` is the estimate.")


class MetricsPublic(BaseModel):
    """Curves by the metric's name."""

    series: dict[str, list[SeriesPoint]]


class LogPublic(BaseModel):
    """The last lines of the trainer's log, the newest last."""

    lines: list[str]
