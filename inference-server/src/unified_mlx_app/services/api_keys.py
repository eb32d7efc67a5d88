"""Who calls: this machine itself, the operator's key of the environment, or a key of the table `api_keys`.

The backend owns and migrates that table. It is read here with one bound SELECT and never written, so that keys
work while the backend is down; before the backend has made it there are no keys.
"""

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import asyncpg
import structlog
from sqlalchemy import Column, MetaData, String, Table, Uuid, bindparam, or_, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from unified_mlx_app.db import Sessions, UTCDateTime, create_engine, create_sessions
from unified_mlx_app.errors import UnavailableError

log = structlog.get_logger(__name__)

Scope = Literal["read", "infer", "train", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
_IMPLIED: dict[str, frozenset[str]] = {"admin": frozenset(ALL_SCOPES), "train": frozenset({"read", "train"})}

_FRESH_SECONDS = 3.0
"""A verdict is as old as this at most, so a key that is revoked stops working within five seconds."""
_TRUSTED_SECONDS = 300.0
"""A key that was read no longer ago works while the database does not answer."""
_READ_SECONDS = 2.0
_MAX_REMEMBERED = 4096

_keys = Table(
    "api_keys",
    MetaData(),
    Column("id", Uuid),
    Column("name", String),
    Column("digest", String),
    Column("scopes", String),
    Column("expires_at", UTCDateTime),
    Column("revoked_at", UTCDateTime),
)
_BY_DIGEST = select(_keys.c.id, _keys.c.name, _keys.c.scopes, _keys.c.expires_at, _keys.c.revoked_at).where(
    _keys.c.digest == bindparam("digest")
)

DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What reading may raise: SQLAlchemy wraps what queries raise, and not what connecting does."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in. A stored key has an id and a name."""

    kind: Literal["anybody", "local", "environment", "key"]
    scopes: frozenset[str]
    key_id: str | None = None
    key_name: str | None = None

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def confined_to(self) -> str | None:
        """The id of the key whose things alone it finds; None: everybody's."""
        return None if self.is_admin else self.key_id or ""


ANYBODY = Caller("anybody", frozenset())
"""Who asks for what is public; nobody looked at a key."""
LOCAL = Caller("local", frozenset(ALL_SCOPES))
ENVIRONMENT = Caller("environment", frozenset(ALL_SCOPES))


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A key that does not open what was asked for; `key_id` and `key_name` are those of one that is or was known."""

    reason: Literal["unknown", "expired", "revoked", "disagreeing", "scope"]
    key_id: str | None = None
    key_name: str | None = None


@dataclass(frozen=True, slots=True)
class _StoredKey:
    key_id: str
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None

    def verdict(self, now: datetime) -> Caller | RefusedKey:
        if self.revoked_at is not None:
            return RefusedKey("revoked", self.key_id, self.name)
        if self.expires_at is not None and self.expires_at <= now:
            return RefusedKey("expired", self.key_id, self.name)
        return Caller("key", self.scopes, self.key_id, self.name)


@dataclass(frozen=True, slots=True)
class _Remembered:
    row: _StoredKey
    read_at: float


class APIKeys:
    """Event loop only. Verdicts are remembered for some seconds."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        environment_key: str | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._environment_digest = None if environment_key is None else digest_of_key(environment_key)
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._failed_at: float | None = None

    async def identify(self, key: str) -> Caller | RefusedKey:
        """Whose key it is. Raises UnavailableError when that cannot be found out now."""
        digest = digest_of_key(key)
        if self._environment_digest is not None and hmac.compare_digest(digest, self._environment_digest):
            return ENVIRONMENT
        row = await self._find(digest)
        return RefusedKey("unknown") if row is None else row.verdict(self._clock())

    def remembers(self, key: str) -> bool:
        """Whether the key opened or once opened this server, as far as can be told without reading anything."""
        digest = digest_of_key(key)
        return digest == self._environment_digest or digest in self._known

    async def _find(self, digest: str) -> _StoredKey | None:
        now = self._monotonic()
        known = self._known.get(digest)
        if known is not None and now - known.read_at < _FRESH_SECONDS:
            return known.row
        if now - self._unknown.get(digest, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return None
        if self._failed_at is not None and now - self._failed_at < _FRESH_SECONDS:
            return self._last_known(digest, now)
        try:
            async with asyncio.timeout(_READ_SECONDS), self._sessions() as session:
                row = await _read(session, digest)
        except DATABASE_ERRORS as error:
            self._failed_at = self._monotonic()
            log.warning("api_keys_not_read", error=type(error).__name__)
            return self._last_known(digest, now)
        self._failed_at = None
        self._remember(digest, row, now)
        return row

    def _last_known(self, digest: str, now: float) -> _StoredKey | None:
        """What was read last, if that is not too long ago."""
        known = self._known.get(digest)
        if known is None or now - known.read_at > _TRUSTED_SECONDS:
            raise UnavailableError("API keys cannot be checked now; try again shortly.", retry_after_seconds=3)
        return known.row

    def _remember(self, digest: str, row: _StoredKey | None, now: float) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        if row is None:
            self._unknown[digest] = now
        else:
            self._known[digest] = _Remembered(row, now)
        for remembered in (self._known, self._unknown):
            while len(remembered) > _MAX_REMEMBERED:
                remembered.popitem(last=False)


async def has_active_key(url: URL) -> bool:
    """Whether the table has a key that opens something now. Raises one of DATABASE_ERRORS."""
    if url.get_backend_name() == "sqlite" and not await asyncio.to_thread(Path(url.database or "").is_file):
        return False
    engine = create_engine(url)
    try:
        is_open = or_(_keys.c.expires_at.is_(None), _keys.c.expires_at > datetime.now(UTC))
        active = select(_keys.c.id).where(_keys.c.revoked_at.is_(None), is_open).limit(1)
        async with create_sessions(engine)() as session:
            return await _first(session, active) is not None
    finally:
        await engine.dispose()


def digest_of_key(key: str) -> str:
    """What is stored of a key. It has 256 random bits, so a fast hash is as safe as a slow one."""
    return hashlib.sha256(key.encode()).hexdigest()


async def _read(session: AsyncSession, digest: str) -> _StoredKey | None:
    row = await _first(session, _BY_DIGEST, {"digest": digest})
    if row is None:
        return None
    scopes = frozenset(row.scopes.split())
    implied = frozenset[str]().union(*(_IMPLIED.get(scope, frozenset({scope})) for scope in scopes))
    return _StoredKey(str(row.id), row.name, implied, row.expires_at, row.revoked_at)


async def _first(session: AsyncSession, statement: Any, parameters: dict[str, str] | None = None) -> Any:
    try:
        connection = await session.connection()
        return (await connection.execute(statement, parameters)).first()
    except SQLAlchemyError as error:
        if _is_missing_table(error):
            return None
        raise


def _is_missing_table(error: SQLAlchemyError) -> bool:
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None) == "42P01" or "no such table" in str(original)
