"""Cached equals uncached: random chats on every kind of KV cache, with evictions, restarts and damaged files between them."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.answers import command
from fixtures.kv_models import KV_KINDS
from fixtures.local_engine import LocalEngine, local_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity.world import CHUNK_TOKENS, Chat, Damage, World, damage, words

Models = Callable[[str], Path]

_DAMAGES: list[Damage] = ["bit flip", "truncation", "zero tail", "foreign file", "swapped names", "removal"]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 2), st.integers(0, 60)),
        st.tuples(st.just("next turn"), st.integers(0, 5), st.integers(1, 50)),
        st.tuples(st.just("repeat"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("edit"), st.integers(0, 5), st.integers(0, 250)),
        st.tuples(st.just("restart"), st.booleans().map(int), st.just(0)),
        st.tuples(st.just("damage"), st.integers(0, len(_DAMAGES) - 1), st.integers(0, 1000)),
        st.tuples(st.just("delete"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
    ),
    min_size=6,
    max_size=14,
)


class Story:
    """Plays steps; every request on the way is checked by the world."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._chats: list[Chat] = []

    def play(self, step: str, number: int, size: int) -> None:
        engine = self._world.cached
        match step:
            case "restart":
                engine.restart(drain_seconds=10 * number)
            case "damage":
                engine.land_writes()
                if damage(self._folder, _DAMAGES[number], random.Random(size)):
                    engine.restart()
            case "clear":
                engine.cache.clear()
            case "delete":
                if entries := engine.cache.entries():
                    engine.cache.delete(entries[number % len(entries)].cache_key)
            case _:
                self._talk(step, number, size)
        self._world.check_bounds()

    def _talk(self, step: str, number: int, size: int) -> None:
        if step == "open" or not self._chats:
            self._chats.append(Chat(words(("system", number), 40 + 25 * (number % 3))))
            self._chats[-1].say(words(("user", size), max(1, size)))
        else:
            chat = self._chats[number % len(self._chats)]
            if step == "edit":
                chat = chat.edited(size % len(chat.tokens))
                self._chats.append(chat)
            elif step == "next turn":
                chat.tokens += self._world.ask(chat).tokens
                chat.say(words(("turn", size), size))
            self._chats.append(chat)
        self._world.ask(self._chats[-1])


def play_all(
    model: Path, uncached: LocalEngine, story: list[tuple[str, int, int]], *, max_entries: int, max_kilobytes: int
) -> int:
    """Returns how many reuses had to equal the cold run to the bit, and did."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cache"
        with local_engine(
            folder,
            chunk_tokens=CHUNK_TOKENS,
            max_entries=max_entries,
            max_memory_bytes=max_kilobytes * 1000,
            max_disk_bytes=3 * 10**6,
        ) as cached:
            world = World(model, cached, uncached)
            teller = Story(world, folder)
            for step in story:
                teller.play(*step)
        return world.num_exact_reuses


@pytest.fixture(scope="module")
def uncached() -> object:
    with local_engine(enabled=False, chunk_tokens=CHUNK_TOKENS) as engine:
        yield engine


bounds = {"max_entries": st.integers(1, 6), "max_kilobytes": st.sampled_from([50, 300, 5000])}
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text", "mamba2", "qwen3_next"])
@given(story=steps, **bounds)
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=quiet)
def test_cached_answers_equal_uncached_ones(
    kind: str, story: list[tuple[str, int, int]], max_entries: int, max_kilobytes: int, kv_model: Models, uncached: LocalEngine
) -> None:
    play_all(kv_model(kind), uncached, story, max_entries=max_entries, max_kilobytes=max_kilobytes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KV_KINDS)
@given(story=steps, **bounds)
@settings(max_examples=60, deadline=None, suppress_health_check=quiet)
def test_cached_answers_equal_uncached_ones_at_length(
    kind: str, story: list[tuple[str, int, int]], max_entries: int, max_kilobytes: int, kv_model: Models, uncached: LocalEngine
) -> None:
    play_all(kv_model(kind), uncached, story, max_entries=max_entries, max_kilobytes=max_kilobytes)


@pytest.mark.parametrize("kind", KV_KINDS)
def test_an_ordinary_day_reuses_to_the_bit(kind: str, kv_model: Models, uncached: LocalEngine) -> None:
    story = [
        ("open", 1, 20),
        ("open", 1, 40),
        ("repeat", 0, 0),
        ("restart", 1, 0),
        ("repeat", 1, 0),
        ("open", 1, 50),
        ("next turn", 0, 30),
    ]

    num_exact = play_all(kv_model(kind), uncached, story, max_entries=20, max_kilobytes=5000)

    assert num_exact >= 4


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text", "mamba2", "qwen3_next"])
def test_state_that_was_decoded_is_not_said_to_be_exact(
    kind: str, kv_model: Models, uncached: LocalEngine, tmp_path: Path
) -> None:
    # The first prompt's prefill ends at a multiple of the chunk and the second's turn where the answer ended, so all cuts fit.
    first = command(kv_model(kind), words("decoded", 65), max_tokens=6, top_logprobs=2)
    with local_engine(tmp_path / "cache", chunk_tokens=CHUNK_TOKENS) as cached:
        tokens = [*first.prompt, *cached.generate(first)[0].tokens, *words("next", 40)]
        second = command(kv_model(kind), tokens, turns=[71, len(tokens) - 3], max_tokens=6, top_logprobs=2)
        (expected,) = uncached.generate(second)
        answers = [cached.generate(second)[0] for _ in range(2)]
        cached.restart()
        answers += cached.generate(second)

    assert all(answer.report.cached_tokens >= 71 and answer.tokens == expected.tokens for answer in answers)
    assert all(answer.logprobs == expected.logprobs for answer in answers if answer.report.is_exact)


@pytest.mark.parametrize(("kind", "how"), [*(("qwen3", how) for how in _DAMAGES), ("qwen3_next", "bit flip")])
def test_a_damaged_file_costs_time_and_nothing_else(
    kind: str, how: Damage, kv_model: Models, uncached: LocalEngine, tmp_path: Path
) -> None:
    chats = [Chat(words(("system", number), 60)) for number in range(3)]
    for chat in chats:
        chat.say(words("user", 20))
    with local_engine(tmp_path / "cache", chunk_tokens=CHUNK_TOKENS) as cached:
        world = World(kv_model(kind), cached, uncached)
        for chat in chats:
            world.ask(chat)
        cached.land_writes()
        for seed in range(3):
            damage(tmp_path / "cache", how, random.Random(seed))
            cached.restart()
            outcomes = {world.ask(chat).report.outcome for chat in chats}
            cached.land_writes()
            assert "hit" in outcomes
