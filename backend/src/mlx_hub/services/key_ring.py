"""Tells whose an API key is, and what it may do; asked at every request, so it remembers for a few seconds."""

import asyncio
import hmac
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlmodel import col, select

from mlx_hub.db import Sessions, is_away
from mlx_hub.errors import UnauthorizedError, UnavailableError
from mlx_hub.models.api_key import ApiKey, Scope
from mlx_hub.models.base import utc_now
from mlx_hub.services.api_keys import PREFIX, digest_of

REMEMBERED_SECONDS = 2.0
"""A revoked key opens nothing after so long; an event stream, which sends every two seconds and then asks, ends within five."""
_TRUSTED_SECONDS = 300.0
"""How long keys seen before go on working while the database does not answer."""
_QUERY_SECONDS = 3.0
_AWAY_SECONDS = 1.0
"""A database that did not answer is not asked about known keys for so long."""
_INCLUDED = {Scope.TRAIN: frozenset({Scope.TRAIN, Scope.READ}), Scope.ADMIN: frozenset(Scope)}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. `kind` is "local" for this machine where no key is asked, "environment" for the operator's key, "key", or
    "unknown" for a key that is none."""

    kind: str
    scopes: frozenset[Scope]
    key_id: UUID | None = None
    name: str | None = None

    def can(self, scope: Scope) -> bool:
        return any(scope == own or scope in _INCLUDED.get(own, ()) for own in self.scopes)


LOCAL = Identity("local", frozenset({Scope.ADMIN}))
ENVIRONMENT = Identity("environment", frozenset({Scope.ADMIN}))
UNKNOWN = Identity("unknown", frozenset())
_REASONS = {
    "unknown": "This API key is not known here.",
    "revoked": "This API key was revoked; `mlx-hub keys create` makes another.",
    "expired": "This API key has expired; `mlx-hub keys create` makes another.",
    "disagreeing": "The request carries several API keys that differ; send one.",
}


class RefusedKeyError(UnauthorizedError):
    """A key that does not count; `identity` is that of the key when it did once."""

    def __init__(self, reason: str, identity: Identity = UNKNOWN) -> None:
        super().__init__(_REASONS[reason])
        self.reason = reason
        self.identity = identity


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    expires_at: datetime | None
    is_revoked: bool
    checked_at: float
    """By the monotonic clock."""


class KeyRing:
    """One for a process, used on its event loop only. It remembers keys of the table alone, so strangers cannot fill it."""

    def __init__(self, readers: Sessions, environment_key: SecretStr | None) -> None:
        self._readers = readers
        self._environment_digest = digest_of(environment_key.get_secret_value()) if environment_key else None
        self._known: dict[str, _Known] = {}
        self._away_until = 0.0

    async def identify(self, key: str) -> Identity:
        """Raises UnauthorizedError for a key that does not count, UnavailableError when that cannot be found out now."""
        digest = digest_of(key)
        if self._environment_digest and hmac.compare_digest(digest, self._environment_digest):
            return ENVIRONMENT
        known = await self._look_up(digest) if key.startswith(PREFIX) else None
        if known is None:
            raise RefusedKeyError("unknown")
        if known.is_revoked:
            raise RefusedKeyError("revoked", known.identity)
        if known.expires_at is not None and known.expires_at <= utc_now():
            raise RefusedKeyError("expired", known.identity)
        return known.identity

    def remembers(self, key: str) -> bool:
        """Whether it is or was a key of this service, as far as that is known without reading anything."""
        digest = digest_of(key)
        return digest == self._environment_digest or digest in self._known

    async def _look_up(self, digest: str) -> _Known | None:
        known, now = self._known.get(digest), time.monotonic()
        if known is not None and (now - known.checked_at < REMEMBERED_SECONDS or now < self._away_until):
            return known
        try:
            found = await self._read(digest)
        except Exception as error:
            if not is_away(error):
                raise
            self._away_until = time.monotonic() + _AWAY_SECONDS
            if known is not None and now - known.checked_at < _TRUSTED_SECONDS:
                return known
            raise UnavailableError("The database does not answer, so no key can be checked.", retry_after_seconds=5) from error
        if found is None:
            self._known.pop(digest, None)
        else:
            self._known[digest] = found
        return found

    async def _read(self, digest: str) -> _Known | None:
        async with asyncio.timeout(_QUERY_SECONDS), self._readers.begin() as session:
            row = (await session.exec(select(ApiKey).where(col(ApiKey.digest) == digest))).one_or_none()
        if row is None:
            return None
        scopes = frozenset(Scope(scope) for scope in row.scopes.split() if scope in set(Scope))
        identity = Identity("key", scopes, row.id, row.name)
        return _Known(identity, row.expires_at, row.revoked_at is not None, time.monotonic())
