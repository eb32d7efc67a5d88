"""`scripts/bootstrap.sh`, with which the verbs of `make` begin: what it installs, and what it says when something is missing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
"""As new as the dashboard needs it."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the dashboard alone, with tools that are up to date and one package, which lies beside it."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("bootstrap.sh", "requirements-tools.txt"):
        shutil.copy(ROOT / "scripts" / name, checkout / "scripts")
    tools = checkout / ".tools"
    (tools / "bin").mkdir(parents=True)
    (tools / "bin" / "uv").symlink_to(ROOT / ".tools" / "bin" / "uv")
    with (checkout / "scripts" / "requirements-tools.txt").open() as file:
        sum_ = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True, check=True).stdout.strip()
    (tools / "stamp").write_text(f"{sum_} {checkout}")
    package = {"name": "dashboard", "version": "1.0.0", "dependencies": {"beside": "file:beside"}}
    write_json(checkout / "frontend" / "beside" / "package.json", {"name": "beside", "version": "1.0.0"})
    write_json(checkout / "frontend" / "package.json", package)
    packages = {"": package, "beside": {"version": "1.0.0"}, "node_modules/beside": {"resolved": "beside", "link": True}}
    lock = {"name": "dashboard", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    write_json(checkout / "frontend" / "package-lock.json", lock)
    return checkout


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def bootstrap(checkout: Path, node_version: str | None = None) -> subprocess.CompletedProcess[str]:
    """With the machine's Node, or with one that says that it is of another version."""
    path = os.environ["PATH"]
    if node_version is not None:
        folder = checkout.parent / "node"
        folder.mkdir(exist_ok=True)
        (folder / "version.cjs").write_text(f"Object.defineProperty(process.versions, 'node', {{ value: '{node_version}' }});\n")
        (folder / "node").write_text(f'#!/bin/sh\nexec "{NODE}" --require "{folder}/version.cjs" "$@"\n')
        (folder / "node").chmod(0o755)
        path = f"{folder}{os.pathsep}{path}"
    environment = {name: value for name, value in os.environ.items() if name != "MLX_BUILD"} | {"PATH": path}
    command = [checkout / "scripts" / "bootstrap.sh"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("version", [None, "20.0.0", "24.11.1"])
def test_packages_are_installed_once_with_a_node_that_is_new_enough(checkout: Path, version: str | None) -> None:
    first = bootstrap(checkout, version)
    second = bootstrap(checkout, version)

    assert (first.returncode, second.returncode) == (0, 0), first.stdout + first.stderr
    assert "✓ installed" in first.stdout
    assert (checkout / "frontend" / "node_modules" / "beside" / "package.json").exists()
    assert second.stdout.count("✓ up to date") == 2


def test_an_old_node_is_refused_by_name_and_nothing_is_installed(checkout: Path) -> None:
    result = bootstrap(checkout, "18.20.8")

    assert result.returncode == 1
    assert "Node 20 or newer is needed for frontend" in result.stderr
    assert not (checkout / "frontend" / "node_modules").exists()
