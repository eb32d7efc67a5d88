"""The table of responses that clients may go on from."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from unified_mlx_app import db


class StoredResponse(SQLModel, table=True):
    """A complete response. `body` and `input_items` are JSON as the API tells it.

    They are bytes because PostgreSQL's JSON types refuse the NUL characters that JSON allows. `owner` is the id of the API key
    that made it, if it was one of the table.
    """

    metadata = db.metadata
    __tablename__: ClassVar[Any] = "stored_response"
    __table_args__ = (Index("ix_stored_response_expires_at", "expires_at"),)

    id: str = Field(max_length=128, primary_key=True)
    owner: str | None = Field(default=None, max_length=64)
    previous_id: str | None = Field(default=None, max_length=128)
    created_at: datetime = Field(sa_column=Column(db.UTCDateTime(), nullable=False))
    expires_at: datetime = Field(sa_column=Column(db.UTCDateTime(), nullable=False))
    num_bytes: int = Field(sa_column=Column(BigInteger(), nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary(), nullable=False))
    input_items: bytes = Field(sa_column=Column(LargeBinary(), nullable=False))
