"""API keys in both databases, and how long a service goes by what it remembers of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from fixtures.databases import NewDatabase
from fixtures.worker import Network
from mlx_hub.db import Sessions, async_url, create_engine, create_sessions
from mlx_hub.errors import ConflictError, InvalidInputError, NotFoundError, UnauthorizedError, UnavailableError, WrongStateError
from mlx_hub.models.api_key import ApiKey, Scope
from mlx_hub.models.base import utc_now
from mlx_hub.services.api_keys import create_key, has_active_key, list_keys, revoke_key, rotate_key
from mlx_hub.services.key_ring import ENVIRONMENT, REMEMBERED_SECONDS, KeyRing
from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlmodel import update

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(async_url(url))
    try:
        yield create_sessions(engine)
    finally:
        await engine.dispose()


@pytest.fixture
async def sessions(migrated_url: str) -> AsyncIterator[Sessions]:
    async with _open(migrated_url) as found:
        yield found


async def _make(sessions: Sessions, name: str, *scopes: Scope) -> str:
    async with sessions.begin() as session:
        return (await create_key(session, name=name, scopes=scopes or (Scope.READ,))).key


async def _refusal(ring: KeyRing, key: str) -> str | None:
    try:
        await ring.identify(key)
    except UnauthorizedError as error:
        return getattr(error, "reason")  # noqa: B009
    return None


async def _wait_until_refused(ring: KeyRing, key: str) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while await _refusal(ring, key) is None:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def test_only_the_hash_of_a_key_is_stored(sessions: Sessions) -> None:
    key = await _make(sessions, "laptop", Scope.TRAIN, Scope.INFER)

    async with sessions.begin() as session:
        (row,) = await list_keys(session)
    assert len(key) == len("mlxhub_") + 43
    assert (row.name, row.scopes, len(row.digest)) == ("laptop", "infer train", 64)
    assert key not in repr(row.model_dump())
    assert key.removeprefix("mlxhub_") not in repr(row.model_dump())


async def test_a_name_is_given_once_also_after_its_key_was_revoked(sessions: Sessions) -> None:
    await _make(sessions, "laptop")
    async with sessions.begin() as session:
        await revoke_key(session, "laptop")

    with pytest.raises(ConflictError, match="laptop"):
        await _make(sessions, "laptop")


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 101])
async def test_names_that_a_list_could_not_show_are_refused(sessions: Sessions, name: str) -> None:
    with pytest.raises(InvalidInputError):
        await _make(sessions, name)


async def test_a_key_needs_a_scope_and_an_end_that_is_to_come(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        with pytest.raises(InvalidInputError, match="scope"):
            await create_key(session, name="none", scopes=())
        with pytest.raises(InvalidInputError, match="expired"):
            await create_key(session, name="over", scopes=[Scope.READ], expires_at=utc_now() - timedelta(seconds=1))


async def test_only_keys_that_open_something_count_as_active(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        assert not await has_active_key(session)
    await _make(sessions, "one")
    async with sessions.begin() as session:
        assert await has_active_key(session)
        await session.exec(update(ApiKey).values(expires_at=utc_now() - timedelta(seconds=1)))
        assert not await has_active_key(session)
        await session.exec(update(ApiKey).values(expires_at=None))
        await revoke_key(session, "one")
        assert not await has_active_key(session)


async def test_a_ring_tells_who_it_is_and_what_the_scopes_include(sessions: Sessions) -> None:
    ring = KeyRing(sessions, SecretStr("the operator's own key"))
    trainer = await ring.identify(await _make(sessions, "trainer", Scope.TRAIN))
    admin = await ring.identify(await _make(sessions, "admin", Scope.ADMIN))

    assert (trainer.kind, trainer.name) == ("key", "trainer")
    assert [scope for scope in Scope if trainer.can(scope)] == [Scope.READ, Scope.TRAIN]
    assert all(admin.can(scope) for scope in Scope)
    assert await ring.identify("the operator's own key") is ENVIRONMENT


@pytest.mark.parametrize("key", ["", "mlxhub_", "x" * 5000, "mlxhub_nobody-has-this-one", "ключ"])
async def test_what_is_no_key_is_refused(sessions: Sessions, key: str) -> None:
    assert await _refusal(KeyRing(sessions, None), key) == "unknown"


async def test_revoked_and_rotated_keys_are_refused_within_seconds(sessions: Sessions) -> None:
    assert REMEMBERED_SECONDS < 5
    ring = KeyRing(sessions, None)
    revoked, rotated = await _make(sessions, "revoked"), await _make(sessions, "rotated")
    assert [await _refusal(ring, key) for key in (revoked, rotated)] == [None, None]

    async with sessions.begin() as session:
        await revoke_key(session, "revoked")
        new = (await rotate_key(session, "rotated")).key

    assert await _refusal(ring, new) is None
    await _wait_until_refused(ring, revoked)
    await _wait_until_refused(ring, rotated)
    assert [await _refusal(ring, key) for key in (revoked, rotated)] == ["revoked", "unknown"]


async def test_a_remembered_key_expires_to_the_second(sessions: Sessions) -> None:
    ring = KeyRing(sessions, None)
    async with sessions.begin() as session:
        created = await create_key(session, name="short", scopes=[Scope.READ], expires_at=utc_now() + timedelta(seconds=5))

    assert await _refusal(ring, created.key) is None
    await _wait_until_refused(ring, created.key)
    assert await _refusal(ring, created.key) == "expired"


async def test_a_dead_key_is_not_rotated_and_an_unknown_one_not_found(sessions: Sessions) -> None:
    await _make(sessions, "dead")
    async with sessions.begin() as session:
        first = (await revoke_key(session, "dead")).revoked_at
        assert (await revoke_key(session, "dead")).revoked_at == first
        with pytest.raises(WrongStateError, match="dead"):
            await rotate_key(session, "dead")
        with pytest.raises(NotFoundError, match="nobody"):
            await revoke_key(session, "nobody")


@pytest.fixture
def postgres_url(new_database: NewDatabase, tmp_path: Path) -> URL:
    return make_url(new_database("postgresql", tmp_path))


async def test_a_database_that_is_away_locks_out_only_keys_that_nobody_has_seen(postgres_url: URL) -> None:
    network = Network((postgres_url.host or "", postgres_url.port or 0))
    network.restore()
    through = postgres_url.set(host="127.0.0.1", port=network.port).render_as_string(hide_password=False)
    async with _open(through) as sessions:
        ring = KeyRing(sessions, SecretStr("the operator's own key"))
        seen, unseen = await _make(sessions, "seen"), await _make(sessions, "unseen")
        assert await _refusal(ring, seen) is None

        network.cut()
        until = asyncio.get_running_loop().time() + REMEMBERED_SECONDS + 1
        while asyncio.get_running_loop().time() < until:
            assert (await ring.identify(seen)).name == "seen"
            await asyncio.sleep(0.2)
        assert await ring.identify("the operator's own key") is ENVIRONMENT
        with pytest.raises(UnavailableError):
            await ring.identify(unseen)

        network.restore()
        deadline = asyncio.get_running_loop().time() + 60
        while True:
            try:
                assert (await ring.identify(unseen)).name == "unseen"
                break
            except UnavailableError:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.2)
    network.cut()
