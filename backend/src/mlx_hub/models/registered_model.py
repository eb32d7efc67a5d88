"""Registered models: base models in the cache and adapters trained on them, their versions, and the aliases that promote one."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from uuid import UUID, uuid4

import pydantic
from pydantic import BaseModel
from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field

from mlx_hub.models.base import Line, Name, Prose, Table, WireModel, json_column, time_column, utc_now


class ModelKind(StrEnum):
    BASE = "base"
    ADAPTER = "adapter"


class RegisteredModel(Table, table=True):
    """`base_model` is a hub id or a local name; an adapter also points to the row of its base."""

    __tablename__: ClassVar[Any] = "registered_model"
    __table_args__ = (UniqueConstraint("name"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200)
    base_model: str = Field(max_length=200)
    task_type: str = Field(default="text-generation", max_length=64)
    description: str = Field(default="", max_length=10_000)
    kind: str = Field(default=ModelKind.BASE, max_length=32)
    base_model_id: UUID | None = Field(default=None, foreign_key="registered_model.id", index=True)
    tags: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    updated_at: datetime = Field(default_factory=utc_now, sa_column=time_column())


_TaskType = Annotated[Line, pydantic.Field(max_length=64)]
_Description = Annotated[Prose, pydantic.Field(max_length=10_000)]
_Tags = Annotated[
    dict[Annotated[Line, pydantic.Field(max_length=64)], Annotated[Prose, pydantic.Field(max_length=512)]],
    pydantic.Field(max_length=64),
]


class RegisteredModelCreate(WireModel):
    """What a client says of a model."""

    name: Name = pydantic.Field(description="Unique; what the model is called everywhere.")
    base_model: Name = pydantic.Field(description="Hub id or local name of the weights.")
    task_type: _TaskType = "text-generation"
    description: _Description = ""
    tags: _Tags = pydantic.Field(default_factory=dict)


class RegisteredModelUpdate(WireModel):
    """Fields that are absent or null stay as they are."""

    name: Name | None = None
    task_type: _TaskType | None = None
    description: _Description | None = None
    tags: _Tags | None = None


class RegisteredModelPublic(BaseModel):
    """A model with its newest version and what its aliases point to."""

    id: UUID
    name: str
    type: ModelKind
    base_model: str
    base_model_id: UUID | None
    task_type: str
    description: str
    tags: dict[str, str]
    latest_version: int | None
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime


class ModelVersion(Table, table=True):
    """One trained (or imported) state of a model with everything it came from. Versions are never changed, only added."""

    __tablename__: ClassVar[Any] = "model_version"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    model_id: UUID = Field(foreign_key="registered_model.id", index=True, ondelete="CASCADE")
    version: int
    path: str = Field(max_length=4096)
    sha256: str | None = Field(default=None, max_length=64)
    """Of the adapter's weights."""
    num_bytes: int | None = Field(default=None, sa_column=Column(BigInteger(), nullable=True))
    base_commit: str | None = Field(default=None, max_length=64)
    dataset_id: UUID | None = Field(default=None, foreign_key="dataset.id", index=True, ondelete="SET NULL")
    dataset_sha256: str | None = Field(default=None, max_length=64)
    config: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    seed: int | None = None
    code_version: str | None = Field(default=None, max_length=64)
    mlflow_run_id: str | None = Field(default=None, max_length=64)
    metrics: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    samples: list[dict[str, Any]] = Field(default_factory=list, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())


class VersionSample(BaseModel):
    """One question of rows that were not trained on: the expected answer, the base model's, and the adapter's."""

    line: int
    prompt: str
    expected: str
    base: str
    adapter: str


class ModelVersionPublic(BaseModel):
    """A version with its lineage: what it was trained from, on what, how, and with which result."""

    id: UUID
    model_id: UUID
    version: int
    aliases: list[str]
    sha256: str | None
    num_bytes: int | None
    base_commit: str | None
    dataset_id: UUID | None
    dataset_sha256: str | None
    config: dict[str, Any]
    seed: int | None
    code_version: str | None
    mlflow_run_id: str | None
    job_id: UUID | None = pydantic.Field(description="The training job whose newest result it is.")
    metrics: dict[str, Any]
    samples: list[VersionSample]
    created_at: datetime


class ModelAlias(Table, table=True):
    """A name for a version that may move, such as `champion`; the inference server serves what it points to."""

    __tablename__: ClassVar[Any] = "model_alias"
    __table_args__ = (UniqueConstraint("model_id", "alias"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    model_id: UUID = Field(foreign_key="registered_model.id", index=True, ondelete="CASCADE")
    alias: str = Field(max_length=64)
    version_id: UUID = Field(foreign_key="model_version.id", index=True, ondelete="CASCADE")
    previous_version_id: UUID | None = Field(default=None, foreign_key="model_version.id", index=True, ondelete="SET NULL")
    updated_at: datetime = Field(default_factory=utc_now, sa_column=time_column())


class AliasMove(WireModel):
    """Where an alias shall point to."""

    version: int = pydantic.Field(ge=1, le=2**31 - 1)


class ModelAliasPublic(BaseModel):
    """`served_name` is the model that clients ask the inference server for; moving the alias changes what answers."""

    alias: str
    version: int
    previous_version: int | None
    served_name: str
    updated_at: datetime


class Promotion(ModelAliasPublic):
    """A moved alias. When the inference server could not be told, `served` is false and `reason` says why."""

    served: bool
    reason: str | None
