"""What clients get about registered models, beside the models themselves, which are in `models/registered_model.py`."""

from uuid import UUID

from pydantic import BaseModel, Field

from mlx_hub.api.dataset_changes_schemas import DependentJobPublic


class DependentModelPublic(BaseModel):
    id: UUID
    name: str


class ModelDependentsPublic(BaseModel):
    """What deleting a model would mean. Jobs stay, and then no longer know it; the newest first."""

    num_bytes: int = Field(description="Freed: its versions, and weights that no other model has.")
    num_versions: int
    adapters: list[DependentModelPublic] = Field(description="Models that stand on it.")
    jobs: list[DependentJobPublic]
    served_names: list[str] = Field(description="No longer served by the inference server.")
    blockers: list[str] = Field(description="Why it cannot be deleted now.")
    can_delete: bool
