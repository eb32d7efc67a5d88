"""API keys: made, listed, revoked and rotated in the database. The key itself is told once, to whoever made it.

A key is 256 random bits, so a plain hash of it can be stored: there is nothing to guess.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import ConflictError, InvalidInputError, NotFoundError, WrongStateError
from mlx_hub.models.api_key import ApiKey, Scope
from mlx_hub.models.base import Line, utc_now

PREFIX = "mlxhub_"
"""So that scanners for leaked secrets, and people, know what it is."""
_NUM_BYTES = 32
_MAX_NAME = 100
_LINE = TypeAdapter[str](Line)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """`key` is known nowhere else."""

    row: ApiKey
    key: str


def digest_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()


async def create_key(
    session: AsyncSession, *, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> CreatedKey:
    """Raises ConflictError for a name that is taken, also by a key that was revoked: the audit log tells keys by name too."""
    key = _new_key()
    row = ApiKey(name=_checked_name(name), digest=digest_of(key), scopes=_joined(scopes), expires_at=expires_at)
    if expires_at is not None and expires_at <= utc_now():
        raise InvalidInputError("The key would have expired already.", field="expires")
    if await _find(session, row.name) is not None:
        raise ConflictError(f"There is a key {name!r} already; choose another name, or rotate it.")
    session.add(row)
    await session.flush()
    return CreatedKey(row, key)


async def list_keys(session: AsyncSession) -> list[ApiKey]:
    """All, the oldest first."""
    return list(await session.exec(select(ApiKey).order_by(col(ApiKey.created_at), col(ApiKey.id))))


async def revoke_key(session: AsyncSession, name: str) -> ApiKey:
    """It opens nothing any more, for ever. Once revoked, doing it again changes nothing."""
    row = await _get(session, name)
    row.revoked_at = row.revoked_at or utc_now()
    return row


async def rotate_key(session: AsyncSession, name: str) -> CreatedKey:
    """Another key with the same name, scopes and end; the old one opens nothing. Raises WrongStateError for a dead one."""
    row = await _get(session, name)
    if not is_active(row):
        raise WrongStateError(f"The key {name!r} was revoked or has expired; create another.")
    key = _new_key()
    row.digest = digest_of(key)
    return CreatedKey(row, key)


async def has_active_key(session: AsyncSession) -> bool:
    """Whether anybody has a key that opens anything."""
    is_alive = or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > utc_now())
    query = select(ApiKey.id).where(col(ApiKey.revoked_at).is_(None), is_alive).limit(1)
    return (await session.exec(query)).first() is not None


def is_active(row: ApiKey) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > utc_now())


def _new_key() -> str:
    return PREFIX + secrets.token_urlsafe(_NUM_BYTES)


def _joined(scopes: Iterable[Scope]) -> str:
    found = sorted(set(scopes))
    if not found:
        raise InvalidInputError("A key needs a scope.", field="scope")
    return " ".join(found)


def _checked_name(name: str) -> str:
    try:
        checked = _LINE.validate_python(name)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInputError(f"The name {reason}.", field="name") from None
    if len(checked) > _MAX_NAME:
        raise InvalidInputError(f"The name has more than {_MAX_NAME} characters.", field="name")
    return checked


async def _find(session: AsyncSession, name: str) -> ApiKey | None:
    return (await session.exec(select(ApiKey).where(col(ApiKey.name) == name))).one_or_none()


async def _get(session: AsyncSession, name: str) -> ApiKey:
    row = await _find(session, name)
    if row is None:
        raise NotFoundError(f"There is no key {name!r}; `mlx-hub keys list` shows all.")
    return row
