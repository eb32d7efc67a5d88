"""API keys: who may call the services from elsewhere. Of a key only its hash is stored.

The one table that the inference server reads too: keys must work while the backend is down.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from mlx_hub.models.base import Table, time_column, utc_now


class Scope(StrEnum):
    """What a key may do; `train` includes `read`, `admin` everything."""

    READ = "read"
    INFER = "infer"
    TRAIN = "train"
    ADMIN = "admin"


class ApiKey(Table, table=True):
    """`digest` is the key's sha256 in hex, `scopes` are sorted, with spaces between."""

    __tablename__: ClassVar[Any] = "api_keys"
    __table_args__ = (UniqueConstraint("name"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=100)
    digest: str = Field(max_length=64, index=True, unique=True)
    scopes: str = Field(max_length=100)
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    expires_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
