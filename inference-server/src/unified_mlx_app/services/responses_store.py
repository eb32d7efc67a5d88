"""Responses that later ones go on from, kept in the service's database for a while.

A chain of responses is kept as long as somebody goes on from its end: each use gives all of it the full time again. Beyond
the bounds of count and bytes those whose time ends first go first.

Each belongs to the API key that made it. A `reader` finds those of its own alone, and None those of everybody; what it may
not find is to it what never was.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, literal, or_, update
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from unified_mlx_app.db import Sessions
from unified_mlx_app.errors import NotFoundError, PreviousResponseError
from unified_mlx_app.models.stored_response import StoredResponse
from unified_mlx_app.types import JSON

MAX_CHAIN = 1000
"""Responses in one conversation; more would not fit into the context of any model."""
MAX_BYTES = 2 * 2**30


class ResponsesStore:
    """For the event loop. Each method is one transaction."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        max_entries: int,
        keep_seconds: float,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = sessions
        self._max_entries = max_entries
        self._keep = timedelta(seconds=keep_seconds)
        self._max_bytes = max_bytes
        self._clock = clock

    async def save(
        self, response_id: str, body: bytes, *, owner: str | None, input_items: list[JSON], previous_id: str | None
    ) -> None:
        """Keep a complete response, and forget what is beyond the bounds."""
        now = self._clock()
        items = msgspec.json.encode(input_items)
        async with self._sessions.begin() as session:
            session.add(
                StoredResponse(
                    id=response_id,
                    owner=owner,
                    previous_id=previous_id,
                    created_at=now,
                    expires_at=now + self._keep,
                    num_bytes=len(body) + len(items),
                    body=body,
                    input_items=items,
                )
            )
            await session.flush()
            await self._prune(session, now)

    async def body(self, response_id: str, *, reader: str | None) -> bytes:
        """The response as it was told. Raises NotFoundError."""
        async with self._sessions() as session:
            return (await self._row(session, response_id, reader)).body

    async def delete(self, response_id: str, *, reader: str | None) -> None:
        """Raises NotFoundError."""
        async with self._sessions.begin() as session:
            await session.delete(await self._row(session, response_id, reader))

    async def input_items(self, response_id: str, *, reader: str | None) -> list[JSON]:
        """All items that the response was made from, oldest first, those of the responses before it included.

        Raises NotFoundError.
        """
        async with self._sessions() as session:
            row = await self._row(session, response_id, reader)
            before = await self._chain(session, row.previous_id, reader) if row.previous_id else []
        return _items(before) + msgspec.json.decode(row.input_items)

    async def history(self, response_id: str, *, reader: str | None) -> list[JSON]:
        """What a response that goes on from this one reads: inputs and outputs of the whole chain, oldest first.

        Raises PreviousResponseError if any of them is gone.
        """
        async with self._sessions.begin() as session:
            rows = await self._chain(session, response_id, reader)
            missing = response_id if not rows else rows[0].previous_id
            if missing is not None:
                message = f"Previous response with id {missing!a} not found: it was not stored, was deleted or has expired."
                raise PreviousResponseError(message, param="previous_response_id")
            ids = [row.id for row in rows]
            await session.exec(
                update(StoredResponse).where(col(StoredResponse.id).in_(ids)).values(expires_at=self._clock() + self._keep)
            )
            return _items(rows)

    async def _row(self, session: AsyncSession, response_id: str, reader: str | None) -> StoredResponse:
        is_found = _is_found(StoredResponse, reader, self._clock())
        wanted = select(StoredResponse).where(StoredResponse.id == response_id, is_found)
        row = (await session.exec(wanted)).one_or_none()
        if row is None:
            message = f"Response with id {response_id!a} not found: it was not stored, was deleted or has expired."
            raise NotFoundError(message, param="response_id")
        return row

    async def _chain(self, session: AsyncSession, response_id: str, reader: str | None) -> Sequence[StoredResponse]:
        """The response and those before it, as far as they are there, oldest first."""
        now = self._clock()
        row = aliased(StoredResponse)
        links = (
            select(col(StoredResponse.id), col(StoredResponse.previous_id), literal(0).label("depth"))
            .where(StoredResponse.id == response_id, _is_found(StoredResponse, reader, now))
            .cte("links", recursive=True)
        )
        links = links.union_all(
            select(col(row.id), col(row.previous_id), links.c.depth + 1).where(
                row.id == links.c.previous_id, _is_found(row, reader, now), links.c.depth < MAX_CHAIN
            )
        )
        chain = select(StoredResponse).join(links, links.c.id == StoredResponse.id).order_by(links.c.depth.desc())
        return (await session.exec(chain)).all()

    async def _prune(self, session: AsyncSession, now: datetime) -> None:
        await session.exec(delete(StoredResponse).where(col(StoredResponse.expires_at) <= now))
        newest_first: list[Any] = [col(StoredResponse.expires_at).desc(), col(StoredResponse.created_at).desc()]
        ranked = select(
            col(StoredResponse.id),
            func.row_number().over(order_by=newest_first).label("rank"),
            func.sum(StoredResponse.num_bytes).over(order_by=newest_first, rows=(None, 0)).label("total_bytes"),
        ).subquery()
        is_beyond = or_(ranked.c.rank > self._max_entries, ranked.c.total_bytes > self._max_bytes)
        await session.exec(delete(StoredResponse).where(col(StoredResponse.id).in_(select(ranked.c.id).where(is_beyond))))


def _is_found(row: type[StoredResponse], reader: str | None, now: datetime) -> ColumnElement[bool]:
    is_alive = col(row.expires_at) > now
    return is_alive if reader is None else and_(is_alive, col(row.owner) == reader)


def _items(rows: Sequence[StoredResponse]) -> list[JSON]:
    items: list[JSON] = []
    for row in rows:
        items += msgspec.json.decode(row.input_items)
        items += msgspec.json.decode(row.body)["output"]
    return items
