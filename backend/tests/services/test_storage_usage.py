"""What lies where on the disk, by folder."""

import os
from pathlib import Path

import pytest
from mlx_hub.config import Settings
from mlx_hub.services.storage_usage import StorageUsage

pytestmark = pytest.mark.anyio


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(5000))


async def test_a_model_cache_inside_the_data_folder_is_told_apart_from_it(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "data" / "datasets" / "models"
    for path in (data / "hub.db", data / "datasets" / "a.jsonl", data / "datasets" / "models-of-mine" / "b", data / "note"):
        put(path)
    put(cache / "models--org--name" / "snapshots" / "c")
    put(cache / ".partial" / "models--org--name" / "d")
    os.link(cache / "models--org--name" / "snapshots" / "c", cache / "the-same-file")

    found = await StorageUsage(Settings(data_dir=data, model_cache_dir=cache)).read()

    assert {folder.name: folder.num_files for folder in found.folders} == {
        "database": 1,
        "datasets": 2,
        "other": 1,
        "models": 1,
        "partial_downloads": 1,
    }
    assert all(folder.num_bytes >= 5000 * folder.num_files for folder in found.folders)
    assert found.is_complete
