"""Makes `fixtures` and the repository's `scripts` importable in tests and loads the shared fixtures."""

import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent.parent / "scripts")]

pytest_plugins = ["fixtures.models", "fixtures.postgres", "fixtures.tokenizer_folders"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests, marked `anyio`, run on asyncio only."""
    return "asyncio"
