"""What all tables share: the metadata, column types, the texts that clients send, and the page that lists come in."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, StringConstraints
from pydantic_core import PydanticCustomError
from sqlalchemy import JSON, BigInteger, Column, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from mlx_hub import db

T = TypeVar("T")


class Table(SQLModel):
    """Base of the tables: one metadata with named constraints."""

    metadata = db.metadata


class WireModel(BaseModel):
    """A request body: unknown fields and wrong types are refused. A field of an id is a `WireId`: JSON has only text for it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Page(BaseModel, Generic[T]):
    """One page of a list; `page` counts from 1, `total` counts all rows that match."""

    items: list[T]
    total: int
    page: int
    page_size: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list; `number` counts from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "a NUL character cannot be stored")
    return text


def _line(text: str) -> str:
    """In one Unicode form, so that what looks the same is the same."""
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise PydanticCustomError("not_one_line", "must be one line without control characters")
    if text != text.strip() or not text:
        raise PydanticCustomError("outer_space", "must not be empty, begin or end with white space")
    return unicodedata.normalize("NFC", text)


def _name(text: str) -> str:
    if any(part in {"", ".", ".."} for part in text.split("/")) or "\\" in text:
        raise PydanticCustomError("path_like", "must not look like a path: no '..', no empty part, no backslash")
    return text


WireId = Annotated[UUID, Strict(False)]
Prose = Annotated[str, AfterValidator(_storable)]
"""Any text that both databases can store."""
Line = Annotated[str, AfterValidator(_line)]
Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(_line), AfterValidator(_name)]
"""What people call a thing, in any script; may have parts between slashes as hub ids do."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def json_column() -> Column[Any]:
    """JSON that PostgreSQL can index. Assign a new value to change it: a change inside is not seen."""
    return Column(JSON().with_variant(JSONB(), "postgresql"), nullable=False)


def time_column(*, nullable: bool = False, is_indexed: bool = False) -> Column[datetime]:
    return Column(db.UTCDateTime(), nullable=nullable, index=is_indexed)


def serial_column() -> Column[int]:
    """A growing integer id; SQLite grows only INTEGER keys by itself."""
    return Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
