"""What the inference server's own check says of the prompt cache's files."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlx_hub.cli.checkout import checkout_root, platform_environment
from mlx_hub.cli.client import Json

CHECK_SECONDS = 20
_TIMEOUT_SECONDS = 90.0
_PYTHON = Path("inference-server/.venv/bin/python")


@dataclass(frozen=True, slots=True)
class CacheFiles:
    """`report` is the check's answer; None with a `problem`. Both are None where the inference server is not installed here."""

    report: Json | None
    problem: str | None


def check_cache() -> CacheFiles:
    """Reads the files for at most `CHECK_SECONDS`, the last used first."""
    root = checkout_root()
    if root is None or not (root / _PYTHON).exists():
        return CacheFiles(None, None)
    command = [str(root / _PYTHON), "-m", "unified_mlx_app.cache.check", "--seconds", str(CHECK_SECONDS)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False, env=platform_environment()
        )
    except subprocess.TimeoutExpired:
        return CacheFiles(None, f"the check did not end within {_TIMEOUT_SECONDS:.0f} s")
    try:
        return CacheFiles(json.loads(done.stdout), None)
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return CacheFiles(None, lines[-1] if lines else f"the check ended with status {done.returncode}")
