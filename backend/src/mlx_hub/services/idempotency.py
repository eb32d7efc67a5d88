"""`Idempotency-Key`: the same request sent twice does its work once and is answered twice with the same."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import InvalidInputError
from mlx_hub.models.base import utc_now
from mlx_hub.models.idempotency import IdempotencyKey

B = TypeVar("B", bound=BaseModel)

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that may be sent again: `scope` is its method and path, `fingerprint` a hash of its body."""

    key: str
    scope: str
    fingerprint: str


async def answer_once(session: AsyncSession, request: KeyedRequest | None, shape: type[B], work: Callable[[], Awaitable[B]]) -> B:
    """What `work` answers, or what it answered to the same request in the last 24 hours.

    The key is stored in the transaction of the work, so work that failed can be tried again with the same key, and of
    two requests at the same time one waits for the other. Raises InvalidInputError for a key that came with another body.
    """
    if request is None:
        return await work()
    await session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < utc_now() - KEPT_FOR))
    if await _claim(session, request):
        answer = await work()
        row = await session.get_one(IdempotencyKey, (request.key, request.scope))
        row.answer = answer.model_dump(mode="json")
        return answer
    row = await session.get_one(IdempotencyKey, (request.key, request.scope))
    if row.fingerprint != request.fingerprint:
        raise InvalidInputError("This Idempotency-Key came before with another body; use a new key.", field="idempotency-key")
    return shape.model_validate(row.answer)


async def _claim(session: AsyncSession, request: KeyedRequest) -> bool:
    """Waits for another transaction that is inserting the same key, and is False once that has ended well."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = IdempotencyKey(key=request.key, scope=request.scope, fingerprint=request.fingerprint)
    statement = insert(IdempotencyKey).values(**row.model_dump()).on_conflict_do_nothing()
    return (await session.exec(statement)).rowcount == 1
