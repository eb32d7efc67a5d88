"""The prompt cache on its own: what it finds, what it says, and whom it keeps in memory."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures.prompt_caches import NAMESPACE, ROW_BYTES, SYSTEM, Cache, prompt, state_of
from unified_mlx_app.cache.prompt_cache import PromptCacheService
from unified_mlx_app.types import MissReason

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

    assert (report.outcome, report.miss_reason, report.cached_tokens) == ("miss", "cold", 0)


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
    assert cache.service.stats().memory_bytes == 205 * ROW_BYTES
