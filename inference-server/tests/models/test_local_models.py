"""Models that appear in the folders are known at once, in the layout that the backend and huggingface_hub write."""

import shutil
from pathlib import Path

import pytest
from fixtures.model_folders import write_model
from unified_mlx_app.models.local_models import LocalModels

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def models(tmp_path: Path) -> LocalModels:
    """Just walked, so that only a change of a folder starts another walk."""
    models = LocalModels(tmp_path / "models", hub_cache_dir=tmp_path / "hub", demo_dir=tmp_path / "demo")
    assert models.find("nobody/nothing") is None
    return models


def publish(root: Path, name: str, commit: str, *, ref: str | None = "main") -> Path:
    """As the backend does it: one rename makes the snapshot, another one moves the reference."""
    partial = write_model(root / ".partial" / commit)
    folder = root / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(snapshot)
    if ref is not None:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / ".new").write_text(commit)
        (folder / "refs" / ".new").rename(folder / "refs" / ref)
    return snapshot


@pytest.mark.parametrize("name", ["mlx-community/Some.Model-4bit", "local/my-model-4bit", "lonely"])
@pytest.mark.parametrize("root", ["models", "hub"])
def test_a_published_model_is_known_at_once(models: LocalModels, tmp_path: Path, root: str, name: str) -> None:
    snapshot = publish(tmp_path / root, name, OLD)

    found = models.find(name)

    assert found is not None
    assert (found.name, found.path) == (name, str(snapshot))


def test_a_plain_folder_is_known_at_once(models: LocalModels, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "models" / "local" / "my-model-4bit")

    assert models.find("local/my-model-4bit") is not None
    write_model(tmp_path / "models" / "local" / "second")
    second = models.find("local/second")
    assert second is not None
    assert second.path == str(folder.with_name("second"))


def test_a_revision_that_main_moves_to_is_served_from_then_on(models: LocalModels, tmp_path: Path) -> None:
    publish(tmp_path / "models", "local/bee", OLD)
    assert models.find("local/bee") is not None

    snapshot = publish(tmp_path / "models", "local/bee", NEW)

    found = models.find("local/bee")
    assert found is not None
    assert found.path == str(snapshot)


def test_another_revision_than_main_changes_nothing(models: LocalModels, tmp_path: Path) -> None:
    snapshot = publish(tmp_path / "models", "local/bee", OLD)
    publish(tmp_path / "models", "local/bee", NEW, ref=None)

    found = models.find("local/bee")

    assert found is not None
    assert found.path == str(snapshot)


def test_the_old_revision_is_served_until_the_one_that_main_names_is_complete(models: LocalModels, tmp_path: Path) -> None:
    old = publish(tmp_path / "models", "local/bee", OLD)
    new = publish(tmp_path / "models", "local/bee", NEW)
    weights = new / "model.safetensors"
    weights.rename(tmp_path / "on its way")

    found = models.find("local/bee")

    assert found is not None
    assert found.path == str(old)


def test_a_reference_to_a_revision_that_is_not_there_hides_nothing(models: LocalModels, tmp_path: Path) -> None:
    snapshot = publish(tmp_path / "models", "local/bee", OLD)
    (snapshot.parent.parent / "refs" / "main").write_text(NEW)

    found = models.find("local/bee")

    assert found is not None
    assert found.path == str(snapshot)


def test_a_model_that_is_removed_is_unknown_at_once(models: LocalModels, tmp_path: Path) -> None:
    snapshot = publish(tmp_path / "models", "local/bee", OLD)
    assert models.find("local/bee") is not None

    shutil.rmtree(snapshot)

    assert models.find("local/bee") is None
