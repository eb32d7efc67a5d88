"""kill -9 while state is being written: what is found afterwards is whole, or is not there."""

import multiprocessing
import random
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fixtures.answers import Answer
from fixtures.engine import poll
from fixtures.local_engine import LocalEngine, local_engine
from parity.world import CHUNK_TOKENS, Chat, World, words

_NUM_CHATS = 5


def chat(number: int) -> Chat:
    """Long enough for a file of half a megabyte; two chats of three share their system part."""
    made = Chat(words(("system", number % 3), 250))
    made.say(words(("user", number), 80))
    return made


def write_for_ever(folder: Path, model: Path, seed: int, say: Connection) -> None:
    """The process that is killed: answers chats on `folder` and forgets them, so that it never stops writing."""
    chance = random.Random(seed)
    engine = LocalEngine(folder, chunk_tokens=CHUNK_TOKENS)
    while True:
        number = chance.randrange(_NUM_CHATS)
        engine.generate(chat(number).command(model, max_tokens=chance.randrange(1, 5)))
        say.send(number)
        if chance.random() < 0.2:
            engine.cache.clear()


def kill_and_look(folder: Path, model: Path, uncached: LocalEngine, seed: int, expected: dict[tuple[object, ...], Answer]) -> int:
    """Kill a writer at a random moment, then check every chat. Returns how many were found on disk."""
    chance = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    # The modules that take seconds to import; the fork server finds installed packages only.
    context.set_forkserver_preload(["unified_mlx_app.engine.scheduler", "unified_mlx_app.models.manager"])
    listen, say = context.Pipe()
    writer = context.Process(target=write_for_ever, args=(folder, model, seed, say), daemon=True)
    writer.start()
    say.close()
    for _ in range(chance.randrange(1, 6)):
        listen.recv()
    spins = iter(range(chance.randrange(1, 400)))  # Up to some milliseconds into the next writes.
    poll(lambda: next(spins, None) is None, turn=lambda: list(range(1000)))
    writer.kill()
    writer.join()
    listen.close()

    with local_engine(folder, chunk_tokens=CHUNK_TOKENS) as cached:
        assert not list(folder.glob(".*.tmp")), "temporary files of the dead writer are left"
        world = World(model, cached, uncached, expected)
        reports = [world.ask(chat(number)).report for number in range(_NUM_CHATS)]
        assert cached.cache.stats().quarantined == 0, "a file was published before it was whole"
    return sum(report.tier == "disk" for report in reports)


@pytest.fixture(scope="module")
def uncached() -> object:
    with local_engine(enabled=False, chunk_tokens=CHUNK_TOKENS) as engine:
        yield engine


def run_kills(num_kills: int, folder: Path, model: Path, uncached: LocalEngine) -> None:
    expected: dict[tuple[object, ...], Answer] = {}
    num_found = sum(kill_and_look(folder, model, uncached, seed, expected) for seed in range(num_kills))
    assert num_found > 0


def test_five_kills_lose_nothing_but_time(tmp_path: Path, kv_model: Callable[[str], Path], uncached: LocalEngine) -> None:
    run_kills(5, tmp_path / "cache", kv_model("qwen3"), uncached)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["qwen3", "qwen3_next"])
def test_a_hundred_kills_lose_nothing_but_time(
    kind: str, tmp_path: Path, kv_model: Callable[[str], Path], uncached: LocalEngine
) -> None:
    run_kills(100, tmp_path / "cache", kv_model(kind), uncached)
