"""Checks that the lock files are complete and portable: current with their project, public hosts only,
and with every optional dependency of every platform (npm leaves out what the machine that locked could not find)."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("inference-server", "backend")
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org", "registry.npmjs.org"}


def check_uv_lock(lock: Path) -> list[str]:
    uv = ROOT / ".tools/bin/uv"
    result = subprocess.run([uv, "lock", "--check"], cwd=lock.parent, capture_output=True, text=True, check=False)
    stale = [f"not current with pyproject.toml, run `uv lock`: {result.stderr.strip()}"] if result.returncode else []
    return stale + foreign_hosts(lock.read_text())


def check_package_lock(lock: Path) -> list[str]:
    packages: dict[str, dict[str, Any]] = json.loads(lock.read_text())["packages"]
    resolved = "\n".join(package.get("resolved", "") for package in packages.values())
    return foreign_hosts(resolved) + missing_optional(packages)


def missing_optional(packages: dict[str, dict[str, Any]]) -> list[str]:
    """Each `optionalDependencies` key needs an entry, nested under its parent or hoisted to any folder above."""
    missing = set[str]()
    for path, package in packages.items():
        folders = [path[: match.start()] for match in re.finditer(r"(?:^|/)node_modules/", path)] + [path]
        for name in package.get("optionalDependencies", {}):
            if not any(f"{folder}/node_modules/{name}".lstrip("/") in packages for folder in folders):
                missing.add(f"{path or 'the project'} names {name}, which the lock lacks: npm ci would break where it is needed")
    return sorted(missing)


def foreign_hosts(text: str) -> list[str]:
    hosts = set(re.findall(r"(?:https?|file)://([^/\"\s]*)", text)) - PUBLIC_HOSTS
    return [f"names {host or 'a local folder'}: lock against the public index only" for host in sorted(hosts)]


def main() -> int:
    problems = list[str]()
    for member in MEMBERS:
        lock = ROOT / member / "uv.lock"
        if lock.exists():
            problems += [f"{lock.relative_to(ROOT)}: {problem}" for problem in check_uv_lock(lock)]
    lock = ROOT / "frontend/package-lock.json"
    if lock.exists():
        problems += [f"{lock.relative_to(ROOT)}: {problem}" for problem in check_package_lock(lock)]

    print("\n".join(problems) or "lock files: current and portable")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
