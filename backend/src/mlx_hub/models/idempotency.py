"""Answers to requests that carried an `Idempotency-Key`, so that sending them again changes nothing."""

from datetime import datetime
from typing import Any, ClassVar

from sqlmodel import Field

from mlx_hub.models.base import Table, json_column, time_column, utc_now


class IdempotencyKey(Table, table=True):
    """`scope` is method and path, `fingerprint` a hash of the body; `answer` is what was answered."""

    __tablename__: ClassVar[Any] = "idempotency_key"

    key: str = Field(max_length=200, primary_key=True)
    scope: str = Field(max_length=200, primary_key=True)
    fingerprint: str = Field(max_length=64)
    answer: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column(is_indexed=True))
