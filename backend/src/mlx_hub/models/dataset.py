"""Datasets: uploaded rows to train on, never changed once they are stored."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from uuid import UUID, uuid4

import pydantic
from pydantic import BaseModel
from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field

from mlx_hub.models.base import Name, Prose, Table, WireModel, json_column, time_column, utc_now


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


_Column = Annotated[Prose, pydantic.Field(min_length=1, max_length=200)]


class DatasetCreate(WireModel):
    """What a client says of a dataset beside its file.

    Of a table also which columns are what; by default those with usual names, such as prompt and completion.
    """

    name: Name = pydantic.Field(description="Unique; what the dataset is called everywhere.")
    description: Annotated[Prose, pydantic.Field(max_length=10_000)] = ""
    prompt_column: _Column | None = None
    completion_column: _Column | None = None
    system_column: _Column | None = None
    text_column: _Column | None = None


class DatasetSource(BaseModel):
    """Where a dataset came from: an upload of a kind (jsonl, json_array, csv, text), or another dataset.

    Of another one it is a part (split), or what a change made of it (edit, convert, deduplicate).
    """

    kind: str
    file_name: str | None = None
    num_bytes: int | None = pydantic.Field(default=None, description="Of the file as it was uploaded.")
    sha256: str | None = pydantic.Field(default=None, description="Of the file as it was uploaded.")
    dataset_id: UUID | None = pydantic.Field(default=None, description="The dataset that it was made from.")
    validation_share: float | None = None
    seed: int | None = None


class DatasetReport(BaseModel):
    """What was found when the dataset was stored; `GET /datasets/{id}/problems` lists it with the lines."""

    num_usable_rows: int = 0
    num_duplicates: int = pydantic.Field(0, description="Rows whose content stands in an earlier line; they are usable.")
    format_counts: dict[str, int] = pydantic.Field(default_factory=dict, description="Usable rows of each format.")
    problem_counts: dict[str, int] = pydantic.Field(default_factory=dict, description="All problems by their code.")
    source: DatasetSource | None = None


class DatasetPublic(BaseModel):
    """A dataset. It is stored as JSONL; `sha256` and `num_bytes` are of that file."""

    id: UUID
    name: str
    description: str
    format: DatasetFormat = pydantic.Field(description="Of most rows; each row decides for itself.")
    sha256: str
    num_rows: int = pydantic.Field(description="Lines that are not blank, usable or not.")
    num_bytes: int
    report: DatasetReport
    created_at: datetime

    @classmethod
    def from_row(cls, row: Dataset) -> "DatasetPublic":
        return cls.model_validate(row.model_dump(include=set(cls.model_fields)))


class DatasetSplitCreate(WireModel):
    """Rows are divided by their content and the seed: equal rows never come into both parts."""

    validation_share: float = pydantic.Field(default=0.1, gt=0, le=0.5)
    seed: int = pydantic.Field(default=42, ge=0, le=2**31 - 1)
    train_name: Name | None = pydantic.Field(default=None, description="By default the dataset's name and -train.")
    validation_name: Name | None = pydantic.Field(default=None, description="By default the dataset's name and -validation.")


class DatasetSplit(BaseModel):
    """The two parts, datasets of their own."""

    train: DatasetPublic
    validation: DatasetPublic
