"""The prompt cache on its own: what it finds, what it says, and how memory, disk and index stay one story."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from fixtures.engine import poll
from unified_mlx_app.cache.disk import DiskStore
from unified_mlx_app.cache.kv import KVState, LayerState
from unified_mlx_app.cache.prompt_cache import Match, Prompt, PromptCacheService
from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import CacheReport, EntryKind, MissReason

NAMESPACE = Namespace("tiny", "w" * 64, "", "t" * 64, "c" * 64, "KVCache", "1")
_ROW_BYTES = 2 * 4 * 4
SYSTEM = list(range(100, 200))


def state_of(tokens: Sequence[int], *, is_trimmable: bool = True) -> KVState:
    """A state whose rows spell its tokens, so that a wrong slice shows."""
    rows = mx.broadcast_to(mx.array(list(tokens), mx.float32)[None, None, :, None], (1, 1, len(tokens), 4))
    arrays = (mx.contiguous(rows), mx.contiguous(-rows))
    mx.eval(arrays)
    layer = LayerState("KVCache", True, arrays) if is_trimmable else LayerState("ArraysCache", False, arrays)
    return KVState((layer,), len(tokens))


def rows_of(state: KVState) -> list[int]:
    keys = state.layers[0].arrays[0]
    assert keys is not None
    return [int(value) for value in keys[0, 0, :, 0].tolist()]  # pyright: ignore[reportArgumentType, reportOptionalIterable]


class Cache:
    """A PromptCacheService on a folder, with the steps that the scheduler takes."""

    def __init__(self, folder: Path | None, **options: int) -> None:
        self._disk = DiskStore(folder, max_bytes=10**8, min_free_bytes=0) if folder else None
        self.service = PromptCacheService(
            enabled=True,
            max_entries=options.get("max_entries", 100),
            max_memory_bytes=options.get("max_memory_bytes", 10**8),
            disk=self._disk,
        )
        self.service.open()

    def insert(
        self,
        tokens: Sequence[int],
        *,
        kind: EntryKind = "system",
        namespace: Namespace = NAMESPACE,
        is_trimmable: bool = True,
    ) -> None:
        array = np.asarray(tokens, np.int32)
        self.service.insert(namespace, array, state_of(tokens, is_trimmable=is_trimmable), kind=kind, preview="preview")

    def ask(self, prompt: Prompt, *, is_counted: bool = True) -> CacheReport:
        match = self.service.lookup(prompt)
        return self.service.report(prompt, match, None, is_counted=is_counted)

    def read(self, match: Match) -> tuple[KVState | None, MissReason | None]:
        done: list[tuple[KVState | None, MissReason | None]] = []
        self.service.read(match.entry, lambda state, reason: done.append((state, reason)))
        return poll(lambda: done, turn=self.service.poll)[0]

    def land_writes(self) -> None:
        poll(lambda: self.service.stats().pending_writes == 0, turn=self.service.poll)
        self.service.poll()


@pytest.fixture
def open_cache(tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    """`open_cache()` opens the test's folder; again, as after a restart."""
    opened: list[Cache] = []

    def open_it(**options: int) -> Cache:
        for cache in opened:
            cache.service.close(drain_seconds=10)
        opened.append(Cache(tmp_path / "cache", **options))
        return opened[-1]

    yield open_it
    for cache in opened:
        cache.service.close(drain_seconds=10)


def prompt(tokens: Sequence[int], *, cuts: Sequence[int] = (), shared: int = 100, namespace: Namespace = NAMESPACE) -> Prompt:
    return Prompt(namespace, np.asarray(tokens, np.int32), list(cuts), shared, len(tokens) - 1)


# ------------------------------------------------------------------- look-up


def test_an_identical_prompt_reuses_all_but_its_last_token() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    match = cache.service.lookup(prompt(SYSTEM))

    assert match is not None
    assert (match.num_tokens, match.tier) == (99, "memory")


def test_a_diverging_prompt_reuses_the_common_start_to_the_token_when_no_cut_is_near() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    match = cache.service.lookup(prompt([*SYSTEM[:77], 1, 2, 3], cuts=[32]))

    assert match is not None
    assert match.num_tokens == 77


def test_reuse_is_cut_back_to_a_near_cut_of_the_prompts_own_prefill() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    match = cache.service.lookup(prompt([*SYSTEM[:77], 1, 2, 3], cuts=[32, 64]))

    assert match is not None
    assert match.num_tokens == 64


def test_a_state_that_cannot_be_trimmed_is_used_whole_or_not_at_all() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM, is_trimmable=False)

    assert cache.service.lookup(prompt([*SYSTEM[:77], 1, 2])) is None
    assert cache.service.lookup(prompt(SYSTEM)) is None
    match = cache.service.lookup(prompt([*SYSTEM, 1]))
    assert match is not None
    assert match.num_tokens == 100


def test_the_longest_of_several_entries_is_used() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM[:40])
    cache.insert(SYSTEM[:80])
    cache.insert([*SYSTEM[:60], *range(30)])

    match = cache.service.lookup(prompt(SYSTEM))

    assert match is not None
    assert match.num_tokens == 80


def test_another_identity_is_never_used() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    for field in ("weights", "adapter", "tokenizer", "template", "layout", "versions"):
        other = replace(NAMESPACE, **{field: "other"})
        assert cache.service.lookup(prompt(SYSTEM, namespace=other)) is None


def test_prompts_of_four_tokens_are_not_looked_up() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    report = cache.ask(prompt(SYSTEM[:4], shared=4))

    assert (report.outcome, report.miss_reason) == ("miss", "too_short")


# ------------------------------------------------------------------- reports


def test_four_requests_over_two_system_prompts_give_two_hits_and_two_misses() -> None:
    cache = Cache(None)
    outcomes: list[str] = []
    for system, question in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
        part = [ord(system)] * 60
        outcomes.append(cache.ask(prompt([*part, question, 7], shared=60)).outcome)
        cache.insert(part)

    stats = cache.service.stats()

    assert outcomes == ["miss", "miss", "hit", "hit"]
    assert (stats.total_hits, stats.total_misses, stats.hit_rate) == (2, 2, 0.5)


def test_warm_up_counts_as_neither() -> None:
    cache = Cache(None)

    cache.ask(prompt(SYSTEM), is_counted=False)

    stats = cache.service.stats()
    assert (stats.total_hits, stats.total_misses, stats.misses_by_reason) == (0, 0, {})


def test_part_of_the_shared_part_is_partial_and_tells_where_it_diverged() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    report = cache.ask(prompt([*SYSTEM[:60], 1, 2, 3], cuts=[32, 60]))

    assert (report.outcome, report.cached_tokens, report.tier) == ("partial", 60, "memory")
    assert (report.miss_reason, report.diverged_at_token) == ("diverged", 60)
    stats = cache.service.stats()
    assert (stats.total_hits, stats.total_misses, stats.partial_hits, stats.tokens_saved) == (0, 1, 1, 60)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("weights", "weights_changed"),
        ("layout", "weights_changed"),
        ("versions", "weights_changed"),
        ("adapter", "adapter_changed"),
        ("tokenizer", "template_changed"),
        ("template", "template_changed"),
    ],
)
def test_a_miss_names_what_changed_about_the_model(field: str, reason: MissReason) -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    report = cache.ask(prompt(SYSTEM, namespace=replace(NAMESPACE, **{field: "other"})))

    assert (report.outcome, report.miss_reason, report.cached_tokens) == ("miss", reason, 0)


def test_another_models_entries_explain_nothing() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    report = cache.ask(prompt(SYSTEM, namespace=replace(NAMESPACE, weights="other", model_id="another")))

    assert report.miss_reason == "cold"


def test_the_first_request_is_cold_and_an_evicted_one_says_so() -> None:
    cache = Cache(None, max_entries=1)
    first = cache.ask(prompt(SYSTEM))
    cache.insert(SYSTEM)
    cache.insert([7] * 50)

    second = cache.ask(prompt(SYSTEM))

    assert (first.miss_reason, second.miss_reason) == ("cold", "evicted")


def test_a_chance_start_in_common_is_cold() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)

    report = cache.ask(prompt([*SYSTEM[:5], *([1] * 95)]))

    assert (report.outcome, report.miss_reason, report.diverged_at_token) == ("partial", "cold", None)


def test_a_disabled_cache_does_nothing_and_says_so() -> None:
    service = PromptCacheService(enabled=False, max_entries=10, max_memory_bytes=10**6, disk=None)
    service.insert(NAMESPACE, np.asarray(SYSTEM, np.int32), state_of(SYSTEM), kind="system", preview="")

    report = service.report(prompt(SYSTEM), service.lookup(prompt(SYSTEM)), None, is_counted=True)

    assert (report.outcome, report.miss_reason) == ("off", "disabled")
    assert (service.entries(), service.stats().total_misses) == ([], 0)


# -------------------------------------------------------------- memory bounds


def test_use_decides_who_stays_and_hits_are_listed() -> None:
    cache = Cache(None, max_entries=2)
    cache.insert(SYSTEM)
    cache.insert([7] * 50)
    cache.ask(prompt([*SYSTEM, 1]))

    cache.insert([8] * 50)

    assert {entry.token_count: entry.hits for entry in cache.service.entries()} == {100: 1, 50: 0}
    assert cache.service.lookup(prompt([7] * 50)) is None


def test_one_off_conversations_never_push_a_shared_prompt_out() -> None:
    cache = Cache(None, max_entries=3)
    cache.insert(SYSTEM)

    for number in range(20):
        cache.insert([1000 + number] * 40, kind="conversation")

    assert cache.service.lookup(prompt([*SYSTEM, 1])) is not None
    assert cache.service.stats().memory_entries == 3


def test_a_conversation_replaces_its_own_earlier_steps_in_memory() -> None:
    cache = Cache(None)
    cache.insert(SYSTEM)
    cache.insert([*SYSTEM, 1, 2, 3], kind="prompt")

    cache.insert([*SYSTEM, 1, 2, 3, 4, 5], kind="conversation")

    assert sorted(entry.token_count for entry in cache.service.entries()) == [100, 105]
    assert cache.service.stats().memory_bytes == 205 * _ROW_BYTES


def test_shrinking_for_live_requests_keeps_the_disk_tier(open_cache: Callable[..., Cache]) -> None:
    cache = open_cache()
    cache.insert(SYSTEM)
    cache.land_writes()

    freed = cache.service.shrink_memory(0)

    match = cache.service.lookup(prompt([*SYSTEM, 1]))
    assert (freed, cache.service.memory_bytes) == (100 * _ROW_BYTES, 0)
    assert match is not None
    assert match.tier == "disk"


# ----------------------------------------------------------------- disk tier


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
    assert cache.service.stats().memory_bytes == 100 * _ROW_BYTES
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
