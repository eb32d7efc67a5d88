"""Datasets: uploaded rows to train on, never changed once they are stored."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field

from mlx_hub.models.base import Table, json_column, time_column, utc_now


class DatasetFormat(StrEnum):
    """Shape of the rows: `messages` (with `tools`), `prompt` and `completion`, `text`, or a plain text file."""

    CHAT = "chat"
    TOOLS = "tools"
    COMPLETIONS = "completions"
    TEXT = "text"


class Dataset(Table, table=True):
    """`path` is a JSONL file in the data folder; `sha256` is of its bytes."""

    __tablename__: ClassVar[Any] = "dataset"
    __table_args__ = (UniqueConstraint("name"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200)
    description: str = Field(default="", max_length=10_000)
    format: str = Field(max_length=32)
    path: str = Field(max_length=4096)
    sha256: str = Field(max_length=64, index=True)
    num_rows: int
    num_bytes: int = Field(sa_column=Column(BigInteger(), nullable=False))
    report: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
