"""Makes `fixtures` and the repository's `scripts` importable in tests and loads the shared fixtures."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Before MLX is imported: the first use of each compiled kernel would run the C++ compiler for seconds.
os.environ["MLX_DISABLE_COMPILE"] = "1"

# How long one example takes says how busy the machine is, not whether the code is right.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

_TESTS = Path(__file__).parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent.parent / "scripts")]

pytest_plugins = [
    "fixtures.models",
    "fixtures.kv_models",
    "fixtures.hub",
    "fixtures.postgres",
    "fixtures.prompt_caches",
    "fixtures.server",
    "fixtures.tokenizer_folders",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests, marked `anyio`, run on asyncio only."""
    return "asyncio"
