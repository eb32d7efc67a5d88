"""Folders, stores and small file systems for the tests of the disk tier."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.segments import Open, StoreClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a store will make its folder."""
    return tmp_path / "cache" / "prompts"


@pytest.fixture
def open_store(folder: Path) -> Iterator[Open]:
    """Opens stores on `folder` and closes them after the test."""
    clients: list[StoreClient] = []

    def make(**kwargs: int) -> StoreClient:
        clients.append(StoreClient(folder, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A real small file system of its own; needs root."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        path = tmp_path / "mounted"
        path.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], capture_output=True, check=False)
        if made.returncode:
            pytest.skip("mounting a file system needs root")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)
