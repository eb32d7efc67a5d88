"""The memory tier's bounds and order, on states of real arrays."""

from collections import OrderedDict
from dataclasses import replace

import mlx.core as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.kv import KVState, LayerState
from unified_mlx_app.cache.memory import MemoryTier
from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import EntryKind

_NAMESPACE = Namespace("tiny", "w", "", "t", "c", "KVCache", "1")
_ROW_BYTES = 2 * 4 * 2  # Keys and values of one head of four float16.


def entry(number: int, *, rows: int = 10, kind: EntryKind = "system", owner: str = "") -> Entry:
    namespace = replace(_NAMESPACE, owner=owner)
    tokens = np.asarray([number, *range(rows - 1)], np.int32)
    arrays = (mx.zeros((1, 1, rows, 4), mx.float16), mx.zeros((1, 1, rows, 4), mx.float16))
    state = KVState((LayerState("KVCache", True, arrays),), rows)
    return Entry(entry_key(namespace.digest, tokens), namespace, kind, tokens, "", 0, 0, state=state)


def held(memory: MemoryTier) -> list[int]:
    return [int(entry.tokens[0]) for entry in memory]


def test_the_least_recently_used_entry_goes_first() -> None:
    memory = MemoryTier(max_entries=3, max_bytes=10**6)
    a, b, c, d = (entry(number) for number in range(4))
    for each in (a, b, c):
        memory.add(each)

    memory.touch(a)
    evicted = memory.add(d)

    assert evicted == [b]
    assert held(memory) == [2, 0, 3]
    assert b.state is None


def test_bytes_are_those_of_the_arrays_and_bound_the_tier() -> None:
    memory = MemoryTier(max_entries=100, max_bytes=30 * _ROW_BYTES)
    memory.add(entry(0, rows=10))
    memory.add(entry(1, rows=15))

    evicted = memory.add(entry(2, rows=12))

    assert [int(each.tokens[0]) for each in evicted] == [0]
    assert memory.num_bytes == 27 * _ROW_BYTES


def test_an_entry_larger_than_the_bound_is_not_held() -> None:
    memory = MemoryTier(max_entries=100, max_bytes=5 * _ROW_BYTES)
    large = entry(0, rows=6)

    evicted = memory.add(large)

    assert evicted == [large]
    assert (len(memory), memory.num_bytes) == (0, 0)


def test_one_requests_own_tokens_go_before_older_shared_ones() -> None:
    memory = MemoryTier(max_entries=2, max_bytes=10**6)
    shared_prompt, one_off = entry(0, kind="system"), entry(1, kind="conversation")
    memory.add(shared_prompt)
    memory.add(one_off)

    evicted = memory.add(entry(2, kind="system"))

    assert evicted == [one_off]


def test_a_conversation_that_was_continued_is_as_good_as_a_system_prompt() -> None:
    memory = MemoryTier(max_entries=2, max_bytes=10**6)
    shared_prompt, chat = entry(0, kind="system"), entry(1, kind="conversation")
    memory.add(shared_prompt)
    memory.add(chat)
    chat.hits = 1

    evicted = memory.add(entry(2, kind="system"))

    assert evicted == [shared_prompt]


def test_shrinking_frees_until_the_given_bytes_are_held() -> None:
    memory = MemoryTier(max_entries=100, max_bytes=10**6)
    for number in range(4):
        memory.add(entry(number))

    evicted = memory.shrink(25 * _ROW_BYTES)

    assert [int(each.tokens[0]) for each in evicted] == [0, 1]
    assert memory.num_bytes == 20 * _ROW_BYTES


def test_who_floods_the_tier_loses_its_own_and_nothing_of_others() -> None:
    memory = MemoryTier(max_entries=4, max_bytes=40 * _ROW_BYTES)
    quiet = [entry(0, owner="alice"), entry(1, owner="alice")]
    for each in quiet:
        memory.add(each)

    evicted = [gone for number in range(2, 50) for gone in memory.add(entry(number, owner="bob"))]

    assert held(memory) == [0, 1, 48, 49]
    assert [int(each.tokens[0]) for each in evicted] == list(range(2, 48))


def test_many_small_entries_do_not_push_out_a_large_one() -> None:
    memory = MemoryTier(max_entries=6, max_bytes=40 * _ROW_BYTES)
    large = entry(0, rows=20, owner="alice")
    memory.add(large)

    for number in range(1, 50):
        memory.add(entry(number, rows=1, owner="bob"))

    assert held(memory) == [0, 45, 46, 47, 48, 49]


def test_one_large_entry_does_not_push_out_small_ones_of_others() -> None:
    memory = MemoryTier(max_entries=100, max_bytes=40 * _ROW_BYTES)
    for number in range(10):
        memory.add(entry(number, rows=2, owner="alice"))
    too_large = entry(10, rows=30, owner="bob")

    assert memory.add(too_large) == [too_large]
    assert held(memory) == list(range(10))


def test_who_had_it_alone_gives_way_until_the_shares_are_equal() -> None:
    memory = MemoryTier(max_entries=4, max_bytes=10**6)
    for number in range(4):
        memory.add(entry(number, owner="alice"))

    for number in range(4, 8):
        memory.add(entry(number, owner="bob"))

    assert held(memory) == [2, 3, 6, 7]


def test_with_more_owners_than_room_the_least_recently_used_entry_goes() -> None:
    memory = MemoryTier(max_entries=3, max_bytes=10**6)

    for number in range(5):
        memory.add(entry(number, owner=f"key {number}"))

    assert held(memory) == [2, 3, 4]


kinds = st.sampled_from(["system", "turn", "prompt", "conversation"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30), kinds),
        st.tuples(st.just("touch"), st.integers(0, 30), kinds),
        st.tuples(st.just("remove"), st.integers(0, 30), kinds),
        st.tuples(st.just("shrink"), st.integers(0, 60), kinds),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 5), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_bounds_hold_and_the_account_is_exact_after_every_step(
    history: list[tuple[str, int, EntryKind]], max_entries: int, max_rows: int
) -> None:
    memory = MemoryTier(max_entries=max_entries, max_bytes=max_rows * _ROW_BYTES)
    made: list[Entry] = []
    for number, (step, value, kind) in enumerate(history):
        target = made[value % len(made)] if made else entry(0)
        match step:
            case "add":
                made.append(entry(number, rows=value, kind=kind))
                memory.add(made[-1])
            case "touch":
                target.hits += 1
                memory.touch(target)
            case "remove":
                memory.remove(target)
            case _:
                memory.shrink(value * _ROW_BYTES)
                assert memory.num_bytes <= value * _ROW_BYTES
        assert len(memory) <= max_entries
        assert memory.num_bytes <= max_rows * _ROW_BYTES
        assert memory.num_bytes == sum(each.state.num_bytes for each in made if each.state is not None)
        assert {id(each) for each in memory} == {id(each) for each in made if each.state is not None}

    for each in made:
        memory.remove(each)
    assert memory.num_bytes == 0


floods = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12), kinds), max_size=60)


@given(floods, st.integers(3, 12), st.integers(12, 60))
@settings(max_examples=200, deadline=None)
def test_nobody_loses_what_is_within_an_equal_part(
    history: list[tuple[str, int, EntryKind]], max_entries: int, max_rows: int
) -> None:
    memory = MemoryTier(max_entries=max_entries, max_bytes=max_rows * _ROW_BYTES)
    for number, (owner, rows, kind) in enumerate(history):
        before = list(memory)
        new = entry(number, rows=rows, kind=kind, owner=owner)
        evicted = memory.add(new)

        num_owners = len({each.namespace.owner for each in [*before, new]})
        for loser in {each.namespace.owner for each in evicted} - {owner}:
            entries = [each for each in before if each.namespace.owner == loser]
            num_rows = sum(each.num_tokens for each in entries)
            assert len(entries) * num_owners > max_entries or num_rows * num_owners > max_rows


@given(floods, st.integers(1, 8), st.integers(12, 60))
@settings(max_examples=100, deadline=None)
def test_one_owner_alone_has_the_plain_order(history: list[tuple[str, int, EntryKind]], max_entries: int, max_rows: int) -> None:
    memory = MemoryTier(max_entries=max_entries, max_bytes=max_rows * _ROW_BYTES)
    plain: OrderedDict[int, Entry] = OrderedDict()
    for number, (_, rows, kind) in enumerate(history):
        plain[number] = entry(number, rows=rows, kind=kind, owner="a")
        memory.add(plain[number])
        while len(plain) > max_entries or sum(each.num_tokens for each in plain.values()) > max_rows:
            del plain[next((each for each, kept in plain.items() if kept.is_on_probation), next(iter(plain)))]

        assert held(memory) == list(plain)
