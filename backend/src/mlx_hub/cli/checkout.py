"""The checkout that this package belongs to, when it runs from one, and the variables of its `.env`."""

import os
from pathlib import Path

_MARKS = ("Makefile", "Procfile", "scripts/start.py")


def checkout_root() -> Path | None:
    """The repository's root; None for a package that is installed elsewhere."""
    root = Path(__file__).resolve().parents[4]
    return root if all((root / mark).exists() for mark in _MARKS) else None


def platform_environment() -> dict[str, str]:
    """The variables that `make start` gives its processes: those of `.env`, and before them those of the environment."""
    root = checkout_root()
    return {**(_variables(root / ".env") if root else {}), **os.environ}


def _variables(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            found[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return found
