"""The prompt cache over its disk tier: restarts, damage, deletions, and reads that end late."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.engine import poll
from fixtures.prompt_caches import NAMESPACE, ROW_BYTES, SYSTEM, Cache, prompt, rows_of, state_of
from unified_mlx_app.cache.kv import KVState
from unified_mlx_app.types import EntryKind, MissReason


def test_shrinking_for_live_requests_keeps_the_disk_tier(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    cache.insert(SYSTEM)
    cache.land_writes()

    freed = cache.service.shrink_memory(0)

    match = cache.service.lookup(prompt([*SYSTEM, 1]))
    assert (freed, cache.service.memory_bytes) == (100 * ROW_BYTES, 0)
    assert match is not None
    assert match.tier == "disk"


def test_entries_are_found_again_after_a_restart_with_their_rows(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    cache.insert(SYSTEM)
    cache.insert([*SYSTEM, 1, 2, 3], kind="conversation")
    cache.insert([*SYSTEM, 1, 2, 3, 4, 5], kind="conversation")

    again = open_cache()

    match = again.service.lookup(prompt([*SYSTEM, 1, 2, 3, 4, 5, 6]))
    assert match is not None
    assert (match.num_tokens, match.tier) == (105, "disk")
    state, reason = again.read(match)
    assert state is not None
    assert (rows_of(state), reason) == ([*SYSTEM, 1, 2, 3, 4, 5], None)
    assert again.service.stats().memory_entries == 1


def test_a_prompt_entry_is_not_written(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    cache.insert(SYSTEM, kind="prompt")

    assert open_cache().service.entries() == []


def test_memory_wins_a_tie_and_a_longer_state_on_disk_wins_over_a_shorter_in_memory(open_cache: Callable[..., Cache]) -> None:
    open_cache().insert(SYSTEM)
    cache = open_cache()
    cache.insert(SYSTEM[:60])

    assert cache.service.lookup(prompt([*SYSTEM[:60], 1])).tier == "memory"  # pyright: ignore[reportOptionalMemberAccess]
    assert cache.service.lookup(prompt([*SYSTEM, 1])).num_tokens == 100  # pyright: ignore[reportOptionalMemberAccess]


def test_a_damaged_file_is_a_miss_that_says_corrupt(open_cache: Callable[..., Cache], tmp_path: Path) -> None:
    open_cache().insert(SYSTEM)
    cache = open_cache()
    (file,) = (tmp_path / "cache").glob("*.kv")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    match = cache.service.lookup(prompt(SYSTEM))
    assert match is not None

    state, reason = cache.read(match)

    assert (state, reason) == (None, "corrupt")
    assert cache.service.lookup(prompt(SYSTEM)) is None
    assert cache.service.entries() == []
    report = cache.ask(prompt(SYSTEM))
    assert (report.outcome, report.miss_reason) == ("miss", "corrupt")
    assert cache.service.stats().quarantined == 1


def test_a_read_that_fails_late_leaves_a_newer_entry_of_the_same_tokens_alone(
    open_cache: Callable[..., Cache], tmp_path: Path
) -> None:
    open_cache().insert(SYSTEM)
    cache = open_cache()
    next((tmp_path / "cache").glob("*.kv")).write_bytes(b"damaged")
    match = cache.service.lookup(prompt(SYSTEM))
    assert match is not None
    done: list[MissReason | None] = []
    cache.service.read(match.entry, lambda _, reason: done.append(reason))
    cache.service.delete(match.entry.key)
    cache.insert(SYSTEM)

    poll(lambda: done, turn=cache.service.poll)
    cache.land_writes()

    found = cache.service.lookup(prompt(SYSTEM))
    assert found is not None
    assert found.tier == "memory"
    cache.service.shrink_memory(0)
    assert cache.service.memory_bytes == 0


def test_a_read_that_ends_after_its_entry_was_replaced_keeps_the_account_right(open_cache: Callable[..., Cache]) -> None:
    open_cache().insert(SYSTEM)
    cache = open_cache()
    match = cache.service.lookup(prompt(SYSTEM))
    assert match is not None
    done: list[KVState | None] = []
    cache.service.read(match.entry, lambda state, _: done.append(state))
    poll(lambda: cache._disk is not None and cache._disk._events)
    cache.service.clear()
    cache.insert(SYSTEM)

    poll(lambda: done, turn=cache.service.poll)

    assert done[0] is not None
    assert rows_of(done[0]) == SYSTEM
    assert cache.service.stats().memory_bytes == 100 * ROW_BYTES
    assert cache.service.stats().memory_entries == len(cache.service.entries()) == 1


def test_clear_empties_both_tiers_for_good(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    cache.insert(SYSTEM)
    cache.insert([*SYSTEM, 1, 2, 3], kind="conversation")
    cache.insert([7] * 50, kind="prompt")

    assert cache.service.clear() == 3

    assert cache.service.lookup(prompt(SYSTEM)) is None
    assert cache.service.memory_bytes == 0
    assert open_cache().service.entries() == []


@pytest.mark.parametrize("is_landed", [True, False], ids=["on disk", "still queued"])
def test_a_deleted_entry_misses_now_and_after_a_restart(open_cache: Callable[..., Cache], is_landed: bool) -> None:
    cache = open_cache()
    cache.insert(SYSTEM)
    cache.insert([7] * 50)
    if is_landed:
        cache.land_writes()
    key = next(entry.cache_key for entry in cache.service.entries() if entry.token_count == 100)

    assert cache.service.delete(key) == 1
    assert cache.service.delete(key) == 0

    assert cache.service.lookup(prompt([*SYSTEM, 1])) is None
    again = open_cache()
    assert [entry.token_count for entry in again.service.entries()] == [50]


def test_a_deleted_prompt_can_be_stored_again(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    for _ in range(3):
        cache.insert(SYSTEM)
        cache.service.delete(cache.service.entries()[0].cache_key)
    cache.insert(SYSTEM)
    cache.land_writes()

    assert cache.service.lookup(prompt([*SYSTEM, 1])) is not None
    again = open_cache()
    assert [entry.token_count for entry in again.service.entries()] == [100]


def test_evicted_from_memory_and_from_disk_is_evicted(open_cache: Callable[..., Cache], tmp_path: Path) -> None:
    open_cache().insert(SYSTEM)
    cache = open_cache()
    for file in (tmp_path / "cache").glob("*.kv"):
        file.unlink()
    match = cache.service.lookup(prompt(SYSTEM))
    assert match is not None

    state, reason = cache.read(match)

    assert (state, reason) == (None, "evicted")
    assert cache.service.entries() == []


def insert_cut(cache: Cache, tokens: Sequence[int], state: KVState, cuts: tuple[int, ...], kind: EntryKind = "system") -> None:
    cache.service.insert(NAMESPACE, np.asarray(tokens, np.int32), replace(state, cuts=cuts), kind=kind, preview="")


def test_a_state_comes_back_from_disk_with_its_own_rows_only(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    insert_cut(cache, SYSTEM[:60], state_of(SYSTEM[:60]), (32, 60))
    otherwise_computed = state_of([token + 1000 for token in SYSTEM])
    insert_cut(cache, SYSTEM, otherwise_computed, (32, 64, 100))

    again = open_cache()

    match = again.service.lookup(prompt([*SYSTEM, 1]))
    assert match is not None
    state, _ = again.read(match)
    assert state is not None
    assert rows_of(state) == rows_of(otherwise_computed)


def test_the_next_turn_of_a_chat_is_stored_as_what_it_adds(open_cache: Callable[..., Cache], tmp_path: Path) -> None:
    cache = open_cache()
    chat = [*SYSTEM, *range(50)]
    insert_cut(cache, SYSTEM, state_of(SYSTEM), (64, 100))
    insert_cut(cache, chat[:120], state_of(chat[:120]), (64, 100, 110, 111), "conversation")
    insert_cut(cache, chat, state_of(chat), (64, 100, 110, 111, 120, 140, 141), "conversation")
    cache.land_writes()

    chain = cache.service._entries[cache.service.entries()[0].cache_key].chain

    assert len(chain) == 3
    sizes = [len((tmp_path / "cache" / f"{key}.kv").read_bytes()) for key in chain]
    assert sizes[0] - sizes[1] > 70 * ROW_BYTES
