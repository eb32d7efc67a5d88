"""What a request is told about the cache: hits, misses and their reasons, on real requests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.answers import Answer, command
from fixtures.kv_models import KV_KINDS
from fixtures.local_engine import LocalEngine, local_engine
from parity.world import words

Models = Callable[[str], Path]

SYSTEMS = {"a": words("system a", 70), "b": words("system b", 70)}


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    with local_engine(chunk_tokens=32) as local:
        yield local


def ask(engine: LocalEngine, model: Path, system: str, user: str, **fields: object) -> Answer:
    tokens = [*SYSTEMS[system], *words(user, 20)]
    (answer,) = engine.generate(command(model, tokens, system=len(SYSTEMS[system]), **{"max_tokens": 3, **fields}))
    assert answer.error is None
    return answer


@pytest.mark.parametrize("kind", KV_KINDS)
def test_four_requests_over_two_system_prompts_are_two_hits_and_two_misses(
    kind: str, kv_model: Models, engine: LocalEngine
) -> None:
    reports = [
        ask(engine, kv_model(kind), system, f"question {number}").report for number, system in enumerate(["a", "b", "a", "b"])
    ]

    stats = engine.cache.stats()
    assert [report.outcome for report in reports] == ["miss", "miss", "hit", "hit"]
    assert [report.cached_tokens for report in reports] == [0, 0, 70, 70]
    assert (stats.total_hits, stats.total_misses, stats.hit_rate) == (2, 2, 0.5)


@pytest.mark.parametrize("kind", KV_KINDS)
def test_a_warm_up_counts_as_neither_and_makes_the_next_request_a_hit(kind: str, kv_model: Models, engine: LocalEngine) -> None:
    warm_up = ask(engine, kv_model(kind), "a", "", is_warmup=True, max_tokens=0)
    before = engine.cache.stats()

    report = ask(engine, kv_model(kind), "a", "question").report

    assert (warm_up.tokens, warm_up.reasons) == ([], ["stop"])
    assert (before.total_hits, before.total_misses) == (0, 0)
    assert (report.outcome, report.cached_tokens, report.tier) == ("hit", 70, "memory")
    assert engine.cache.stats().total_hits == 1


def test_only_the_tokens_after_the_cached_part_are_computed(kv_model: Models, engine: LocalEngine) -> None:
    first = ask(engine, kv_model("qwen3"), "a", "one")
    second = ask(engine, kv_model("qwen3"), "a", "two")

    # What comes after the system part is short: it runs in the pass that gives the answer's first token.
    assert (first.progress, second.progress) == ([32, 64, 70], [])
    assert engine.scheduler.totals.cached_prompt_tokens == 70
    assert engine.scheduler.totals.prefilled_tokens == 90 + 20


def test_a_diverging_system_prompt_says_at_which_token(kv_model: Models, engine: LocalEngine) -> None:
    ask(engine, kv_model("qwen3"), "a", "one")
    edited = [*SYSTEMS["a"][:50], 7, *SYSTEMS["a"][51:], *words("one", 20)]

    (answer,) = engine.generate(command(kv_model("qwen3"), edited, system=70))

    assert (answer.report.outcome, answer.report.miss_reason, answer.report.diverged_at_token) == ("partial", "diverged", 50)
    assert answer.report.cached_tokens == 32


def test_a_state_that_cannot_be_trimmed_diverges_into_a_miss(kv_model: Models, engine: LocalEngine) -> None:
    ask(engine, kv_model("mamba2"), "a", "one")
    edited = [*SYSTEMS["a"][:50], 7, *SYSTEMS["a"][51:], *words("one", 20)]

    (answer,) = engine.generate(command(kv_model("mamba2"), edited, system=70))

    assert (answer.report.outcome, answer.report.miss_reason, answer.report.diverged_at_token) == ("miss", "diverged", 50)


def test_a_prompt_of_a_few_tokens_is_too_short(kv_model: Models, engine: LocalEngine) -> None:
    for _ in range(2):
        (answer,) = engine.generate(command(kv_model("qwen3"), [5, 6, 7]))
        assert (answer.report.outcome, answer.report.miss_reason) == ("miss", "too_short")


def test_what_was_evicted_says_so(kv_model: Models) -> None:
    with local_engine(chunk_tokens=32, max_entries=1) as engine:
        first = ask(engine, kv_model("qwen3"), "a", "one").report
        ask(engine, kv_model("qwen3"), "b", "one")
        ask(engine, kv_model("qwen3"), "b", "two")

        again = ask(engine, kv_model("qwen3"), "a", "two").report

    assert (first.miss_reason, again.miss_reason) == ("cold", "evicted")


def test_a_corrupt_file_says_so_and_the_next_request_hits_again(kv_model: Models, tmp_path: Path) -> None:
    with local_engine(tmp_path / "cache", chunk_tokens=32) as engine:
        ask(engine, kv_model("qwen3"), "a", "one")
        engine.restart()
        for file in (tmp_path / "cache").glob("*.kv"):
            file.write_bytes(file.read_bytes()[:-1] + b"\xff")

        corrupt, healed = (ask(engine, kv_model("qwen3"), "a", "two").report for _ in range(2))

        assert (corrupt.outcome, corrupt.miss_reason) == ("miss", "corrupt")
        assert healed.outcome == "hit"
        assert engine.cache.stats().quarantined >= 1
        assert engine.cache.stats().misses_by_reason == {"corrupt": 1}


def test_a_deleted_entry_is_a_miss(kv_model: Models, engine: LocalEngine) -> None:
    ask(engine, kv_model("qwen3"), "a", "one")
    key = next(entry.cache_key for entry in engine.cache.entries() if entry.kind == "system")

    engine.cache.delete(key)

    assert ask(engine, kv_model("qwen3"), "a", "two").report.outcome == "miss"


@pytest.mark.parametrize("kind", KV_KINDS)
def test_the_next_turn_of_a_chat_reuses_the_whole_conversation(kind: str, kv_model: Models, engine: LocalEngine) -> None:
    first = ask(engine, kv_model(kind), "a", "one", max_tokens=10)
    tokens = [*SYSTEMS["a"], *words("one", 20), *first.tokens, *words("two", 15)]

    (second,) = engine.generate(command(kv_model(kind), tokens, system=70, turns=[90, len(tokens)]))

    assert (second.report.outcome, second.report.cached_tokens) == ("hit", 100)


def test_a_disabled_cache_says_off(kv_model: Models) -> None:
    with local_engine(enabled=False) as engine:
        report = ask(engine, kv_model("qwen3"), "a", "one").report

    assert (report.outcome, report.miss_reason, report.cached_tokens) == ("off", "disabled", 0)
