"""Makes `fixtures` and the repository's `scripts` importable in tests and loads the shared fixtures."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent.parent / "scripts")]

pytest_plugins = ["fixtures.models"]
