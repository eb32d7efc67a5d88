"""Keys of the shared table: who is who, how soon a revoked one is one, and what a silent database costs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from fixtures.keys import StoredKey, keys_of_every_kind, revoke_key, store_keys
from sqlalchemy.ext.asyncio import AsyncEngine
from unified_mlx_app.db import async_url, create_engine, create_sessions
from unified_mlx_app.errors import UnavailableError
from unified_mlx_app.services.api_keys import ENVIRONMENT, APIKeys, Caller, RefusedKey, has_active_key

pytestmark = pytest.mark.anyio

OWN = "the-operators-own-key"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(async_url(database_url))
    yield engine
    await engine.dispose()


class Clock:
    """Monotonic seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def keys_in(engine: AsyncEngine, clock: Clock | None = None) -> APIKeys:
    return APIKeys(create_sessions(engine), environment_key=OWN, monotonic=clock or Clock())


async def test_a_key_is_known_by_its_digest_and_has_its_scopes(engine: AsyncEngine) -> None:
    stored = StoredKey("ci", "infer read")
    await store_keys(engine, stored, StoredKey("other", "admin"))

    caller = await keys_in(engine).identify(stored.secret)

    assert caller == Caller("key", frozenset({"infer", "read"}), str(stored.id), "ci")


@pytest.mark.parametrize(
    ("scopes", "opens"),
    [("read", {"read"}), ("infer", {"infer"}), ("train", {"read", "train"}), ("admin", {"read", "infer", "train", "admin"})],
)
async def test_scopes_imply_others(engine: AsyncEngine, scopes: str, opens: set[str]) -> None:
    stored = StoredKey("key", scopes)
    await store_keys(engine, stored)

    caller = await keys_in(engine).identify(stored.secret)

    assert isinstance(caller, Caller)
    assert caller.scopes == opens


async def test_keys_that_open_nothing_say_why(engine: AsyncEngine) -> None:
    stored = keys_of_every_kind()
    await store_keys(engine, *stored.values())
    keys = keys_in(engine)

    for name in ("expired", "revoked"):
        assert await keys.identify(stored[name].secret) == RefusedKey(name, str(stored[name].id), name)
    for secret in ("mlxhub_nobody", "", "' OR 1=1 --", stored["admin"].secret[:-1], stored["admin"].secret + " ", "ä" * 100):
        assert await keys.identify(secret) == RefusedKey("unknown")


async def test_the_operators_key_needs_no_database(tmp_path: Path) -> None:
    engine = create_engine(async_url(f"sqlite:///{tmp_path}/no-such-folder/hub.db"))

    assert await keys_in(engine).identify(OWN) is ENVIRONMENT

    await engine.dispose()


async def test_without_the_table_there_are_no_keys(engine: AsyncEngine, database_url: str) -> None:
    assert await keys_in(engine).identify("mlxhub_x") == RefusedKey("unknown")
    assert not await has_active_key(async_url(database_url))


async def test_a_key_stops_working_within_five_seconds(engine: AsyncEngine) -> None:
    stored, clock = StoredKey("ci", "infer"), Clock()
    await store_keys(engine, stored)
    keys = keys_in(engine, clock)
    assert isinstance(await keys.identify(stored.secret), Caller)

    await revoke_key(engine, stored)
    clock.now += 5

    assert await keys.identify(stored.secret) == RefusedKey("revoked", str(stored.id), "ci")


async def test_a_new_key_works_within_five_seconds_of_being_refused(engine: AsyncEngine) -> None:
    stored, clock = StoredKey("ci", "infer"), Clock()
    keys = keys_in(engine, clock)
    assert await keys.identify(stored.secret) == RefusedKey("unknown")

    await store_keys(engine, stored)
    clock.now += 5

    assert isinstance(await keys.identify(stored.secret), Caller)


async def test_a_remembered_key_expires_on_time(engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    stored = StoredKey("ci", "infer", expires_at=now + timedelta(seconds=1))
    await store_keys(engine, stored)
    keys = APIKeys(create_sessions(engine), environment_key=None, clock=lambda: now)
    assert isinstance(await keys.identify(stored.secret), Caller)

    now += timedelta(seconds=1)

    assert await keys.identify(stored.secret) == RefusedKey("expired", str(stored.id), "ci")


async def test_only_a_key_that_opens_something_lets_a_server_start(engine: AsyncEngine, database_url: str) -> None:
    stored = keys_of_every_kind()
    await store_keys(engine, stored["expired"], stored["revoked"])
    assert not await has_active_key(async_url(database_url))

    await store_keys(engine, stored["infer"])

    assert await has_active_key(async_url(database_url))


async def test_a_silent_database_does_not_lock_out_who_was_here_before(postgres_url: str) -> None:
    stored, other, clock = StoredKey("ci", "infer"), StoredKey("late", "infer"), Clock()
    engine = create_engine(async_url(postgres_url))
    await store_keys(engine, stored, other)
    keys = keys_in(engine, clock)
    await keys.identify(stored.secret)

    await _drop(postgres_url)
    clock.now += 60
    caller = await asyncio.wait_for(keys.identify(stored.secret), 10)

    assert isinstance(caller, Caller)
    with pytest.raises(UnavailableError):
        await keys.identify(other.secret)
    clock.now += 300
    with pytest.raises(UnavailableError):
        await keys.identify(stored.secret)
    await engine.dispose()


async def _drop(postgres_url: str) -> None:
    server, _, name = postgres_url.rpartition("/")
    connection = await asyncpg.connect(f"{server}/postgres")
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}" ALLOW_CONNECTIONS false')
    await connection.close()
