"""The table of models and adapters that clients registered; other models are found on disk and have no row."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from unified_mlx_app import db


class ServedModel(SQLModel, table=True):
    """`base_model` served under `name`, with the adapter in `adapter_path` when `type` is lora."""

    metadata = db.metadata
    __tablename__: ClassVar[Any] = "served_model"
    __table_args__ = (UniqueConstraint("name"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200)
    base_model: str = Field(max_length=4096)
    adapter_path: str | None = Field(default=None, max_length=4096)
    type: str = Field(max_length=32)
    config: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON().with_variant(JSONB(), "postgresql"), nullable=False)
    )
    model_id: str | None = Field(default=None, max_length=200)
    registered_by: str | None = Field(default=None, max_length=200)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC), sa_column=Column(db.UTCDateTime(), nullable=False))
