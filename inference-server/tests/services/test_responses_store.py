"""Stored responses keep to their bounds of time, number and size, and a chain lives as long as its end is used."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from unified_mlx_app.db import Sessions, async_url, create_engine, create_sessions, upgrade
from unified_mlx_app.errors import NotFoundError, PreviousResponseError
from unified_mlx_app.services.responses_store import ResponsesStore

pytestmark = pytest.mark.anyio

StoreMaker = Callable[..., ResponsesStore]


class Clock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    url = async_url(database_url)
    await upgrade(url)
    engine = create_engine(url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def make_store(sessions: Sessions, clock: Clock) -> StoreMaker:
    return lambda **bounds: ResponsesStore(sessions, clock=clock, **{"max_entries": 100, "keep_seconds": 60, **bounds})


async def keep(
    store: ResponsesStore, name: str, previous: str | None = None, *, text: str = "", owner: str | None = None
) -> None:
    body = msgspec.json.encode({"id": name, "output": [{"id": f"out_{name}", "text": text}]})
    await store.save(name, body, owner=owner, input_items=[{"id": f"in_{name}"}], previous_id=previous)


async def known(store: ResponsesStore, *names: str, reader: str | None = None) -> list[str]:
    found: list[str] = []
    for name in names:
        try:
            await store.body(name, reader=reader)
        except NotFoundError:
            continue
        found.append(name)
    return found


async def test_a_chains_history_is_all_of_it_oldest_first(make_store: StoreMaker) -> None:
    store = make_store()
    await keep(store, "other")
    await keep(store, "a")
    await keep(store, "b", "a")
    await keep(store, "c", "b")

    history, items = await store.history("c", reader=None), await store.input_items("c", reader=None)

    assert [item["id"] for item in history] == ["in_a", "out_a", "in_b", "out_b", "in_c", "out_c"]
    assert [item["id"] for item in items] == ["in_a", "out_a", "in_b", "out_b", "in_c"]


async def test_two_responses_may_go_on_from_one(make_store: StoreMaker) -> None:
    store = make_store()
    for name, previous in (("a", None), ("b", "a"), ("c", "a")):
        await keep(store, name, previous)

    assert [item["id"] for item in await store.history("c", reader=None)] == ["in_a", "out_a", "in_c", "out_c"]


async def test_text_with_nul_and_every_plane_comes_back_as_it_was(make_store: StoreMaker) -> None:
    store = make_store()
    await keep(store, "a", text='\0 é \N{TIGER FACE} \\ "')

    assert msgspec.json.decode(await store.body("a", reader=None))["output"][0]["text"] == '\0 é \N{TIGER FACE} \\ "'


async def test_an_expired_response_is_unknown_and_its_row_goes_with_the_next_save(make_store: StoreMaker, clock: Clock) -> None:
    store = make_store()
    await keep(store, "a")

    clock.now += timedelta(seconds=61)

    assert await known(store, "a") == []
    with pytest.raises(PreviousResponseError, match="'a'"):
        await store.history("a", reader=None)
    await keep(store, "b")
    clock.now -= timedelta(seconds=61)
    assert await known(store, "a", "b") == ["b"]


async def test_going_on_from_a_response_gives_its_whole_chain_the_full_time_again(make_store: StoreMaker, clock: Clock) -> None:
    store = make_store()
    await keep(store, "a")
    await keep(store, "b", "a")
    await keep(store, "idle")
    clock.now += timedelta(seconds=40)

    await store.history("b", reader=None)

    clock.now += timedelta(seconds=40)
    assert await known(store, "a", "b", "idle") == ["a", "b"]


async def test_a_chain_with_a_gap_is_refused_by_the_name_of_what_is_missing(make_store: StoreMaker) -> None:
    store = make_store()
    await keep(store, "a")
    await keep(store, "b", "a")
    await store.delete("a", reader=None)

    with pytest.raises(PreviousResponseError, match="'a'"):
        await store.history("b", reader=None)
    assert [item["id"] for item in await store.input_items("b", reader=None)] == ["in_b"]


async def test_beyond_the_number_the_least_recently_used_go(make_store: StoreMaker) -> None:
    store = make_store(max_entries=3)
    for name in ("a", "b", "c"):
        await keep(store, name)
    await store.history("a", reader=None)

    await keep(store, "d")

    assert await known(store, "a", "b", "c", "d") == ["a", "c", "d"]


async def test_beyond_the_bytes_the_least_recently_used_go(make_store: StoreMaker) -> None:
    store = make_store(max_bytes=2500)
    for name in ("a", "b", "c"):
        await keep(store, name, text="x" * 1000)

    assert await known(store, "a", "b", "c") == ["b", "c"]


async def test_with_a_bound_of_zero_nothing_is_kept(make_store: StoreMaker) -> None:
    store = make_store(max_entries=0)

    await keep(store, "a")

    assert await known(store, "a") == []


async def test_a_reader_finds_its_own_alone_and_none_those_of_everybody(make_store: StoreMaker) -> None:
    store = make_store()
    await keep(store, "a", owner="alice")
    await keep(store, "b", owner="bob")
    await keep(store, "nobody")

    for reader, found in (("alice", ["a"]), ("bob", ["b"]), ("", []), (None, ["a", "b", "nobody"])):
        assert await known(store, "a", "b", "nobody", reader=reader) == found
    for read in (store.body, store.input_items, store.delete):
        with pytest.raises(NotFoundError, match="'a'"):
            await read("a", reader="bob")
    with pytest.raises(PreviousResponseError, match="'a'"):
        await store.history("a", reader="bob")
    assert await known(store, "a") == ["a"]


async def test_what_another_has_in_a_chain_is_missing_to_its_reader(make_store: StoreMaker) -> None:
    store = make_store()
    await keep(store, "a", owner="alice")
    await keep(store, "b", "a", owner="admin")

    assert [item["id"] for item in await store.history("b", reader=None)] == ["in_a", "out_a", "in_b", "out_b"]
    with pytest.raises(PreviousResponseError, match="'a'"):
        await store.history("b", reader="admin")
    assert [item["id"] for item in await store.input_items("b", reader="admin")] == ["in_b"]


async def test_a_foreign_reader_does_not_lengthen_a_responses_time(make_store: StoreMaker, clock: Clock) -> None:
    store = make_store()
    await keep(store, "a", owner="alice")
    clock.now += timedelta(seconds=40)
    with pytest.raises(PreviousResponseError):
        await store.history("a", reader="bob")
    clock.now += timedelta(seconds=40)

    assert await known(store, "a") == []
