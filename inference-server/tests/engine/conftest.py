"""Prompts and engines that the tests of the engine share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.local_engine import LocalEngine, local_engine


@pytest.fixture(scope="session")
def tiny(tiny_models: Callable[..., Path]) -> Path:
    return tiny_models()


@pytest.fixture(scope="module")
def serial() -> Iterator[LocalEngine]:
    """Runs requests alone and without a cache: what every other way of running them must give."""
    with local_engine(enabled=False) as engine:
        yield engine


def prompt(number: int, size: int) -> list[int]:
    """The `number`-th prompt; prompts of different numbers share nothing."""
    return [(number * 7919 + position * 37 + number * position) % 1900 + 5 for position in range(size)]
