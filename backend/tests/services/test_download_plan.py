"""Only data files with plain names are ever planned, and only of a model that MLX can load."""

from pathlib import Path

import pytest
from fixtures.downloads import REPO_ID, Downloads, model_files
from fixtures.hub import Repo
from hypothesis import given
from hypothesis import strategies as st
from mlx_hub.errors import InvalidInputError
from mlx_hub.models.job import DownloadStatus
from mlx_hub.services.download_plan import is_allowed
from mlx_hub.services.hub_client import check_repo_id, check_revision

HOSTILE = [
    "../evil.json",
    "../../../../tmp/evil.json",
    "/etc/evil.json",
    "a/../../evil.json",
    "nested/evil.json",
    "..\\evil.json",
    ".hidden.json",
    "evil.json\0.png",
    "e\u2024vil\uff0ejson",
    "evil\n.json",
    "a b.json",
    "evil.py",
    "evil.pkl",
    "evil.bin",
    "evil.gguf",
    "evil.pt",
    "evil.txt",
    "evil.safetensors.part",
    "x" * 250 + ".json",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_not_allowed(name: str) -> None:
    assert not is_allowed(name)


@given(st.text(alphabet=st.sampled_from("abc./\\-_ \0\n%~:") | st.characters(), max_size=40))
def test_an_allowed_name_is_one_plain_part_of_a_path(name: str) -> None:
    for candidate in (name, name + ".json", name + ".safetensors"):
        if is_allowed(candidate):
            assert Path(candidate).name == candidate == str(Path("/root", candidate).resolve().relative_to("/root"))


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "tokenizer.model", "merges.txt", "chat_template.jinja"])
def test_what_a_model_needs_is_allowed(name: str) -> None:
    assert is_allowed(name)


def test_hostile_files_of_a_repository_never_reach_the_disk(sqlite_downloads: Downloads) -> None:
    hostile = {name: b"{}" for name in HOSTILE if name}
    sqlite_downloads.hub.repos[REPO_ID] = Repo(model_files(1000) | hostile)

    row = sqlite_downloads.fetch()

    assert row.path is not None
    assert {path.name for path in Path(row.path).iterdir()} == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
    }
    assert not list(sqlite_downloads.home.rglob("*evil*"))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"config.json": None}, "no config.json"),
        ({"model.safetensors": None}, "no model*.safetensors"),
        ({"tokenizer.json": None}, "no tokenizer"),
        ({"Config.json": b"{}"}, "collide"),
    ],
)
def test_a_repository_that_is_no_model_is_refused(sqlite_downloads: Downloads, files: dict[str, bytes | None], told: str) -> None:
    content = {name: value for name, value in (model_files(1000) | files).items() if value is not None}
    sqlite_downloads.hub.repos[REPO_ID] = Repo(content)

    row = sqlite_downloads.fetch()

    assert row.status == DownloadStatus.FAILED
    assert told in (row.error_message or "")
    assert not sqlite_downloads.hub.sent


@pytest.mark.parametrize("claim", [{"oid": "short"}, {"size": -1}, {"size": "9"}, {"oid": None}])
def test_a_file_without_a_size_and_a_hash_is_refused(sqlite_downloads: Downloads, claim: dict[str, object]) -> None:
    sqlite_downloads.hub.repos[REPO_ID].claims["config.json"] = claim

    assert sqlite_downloads.fetch().status == DownloadStatus.FAILED


@pytest.mark.parametrize(
    "repo_id", ["gpt2", "a/b/c", "../x", "a/..", "a/b--c", "/a", "a/", "a/b?x", "a/b\n", "datasets/a/b", "a/b.git"]
)
def test_a_repo_id_of_another_form_is_refused(repo_id: str) -> None:
    with pytest.raises(InvalidInputError):
        check_repo_id(repo_id)


@pytest.mark.parametrize("revision", ["", "../main", "a..b", "main?x", "-x", "a//b"])
def test_a_revision_of_another_form_is_refused(revision: str) -> None:
    with pytest.raises(InvalidInputError):
        check_revision(revision)
