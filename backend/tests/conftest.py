"""Makes `fixtures` and the repository's `scripts` importable in tests and loads the shared fixtures."""

import os
import signal
import sys
from pathlib import Path

import pytest

# Before MLX is imported: the first use of each compiled kernel would run the C++ compiler for seconds.
os.environ["MLX_DISABLE_COMPILE"] = "1"

# A shell ignores Ctrl-C for what it runs in the background, and programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = Path(__file__).parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent.parent / "scripts")]

# A module comes after those of its imports, whose asserts pytest would else not rewrite.
pytest_plugins = [
    "fixtures.inference",
    "fixtures.postgres",
    "fixtures.databases",
    "fixtures.mlflow",
    "fixtures.training",
    "fixtures.backend",
    "fixtures.keys",
    "fixtures.hub",
    "fixtures.downloads",
    "fixtures.worker",
    "fixtures.jobs",
    "fixtures.tasks",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests, marked `anyio`, run on asyncio only."""
    return "asyncio"
