"""Cards of models on the hub: text without metadata, bounded, and errors that say what is missing."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.downloads import model_files
from fixtures.hub import Hub, Repo, run_hub
from mlx_hub.services.hub_card import MAX_CARD_BYTES, without_front_matter

README = "---\nlicense: mit\ntags:\n- mlx\n---\n\n# A model\n\nIt answers.\n\n---\n\nThe end: ü\n"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with run_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def backend(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    home = tmp_path_factory.mktemp("cards")
    with run_backend(home, f"sqlite:///{home}/hub.db", HF_ENDPOINT=hub.endpoint) as backend:
        yield backend


def path_of_model(hub: Hub, readme: bytes | None, *, gated: bool = False) -> str:
    name = f"org/{uuid4().hex}"
    others = {file: content for file, content in model_files(1000).items() if file != "README.md"}
    files = others if readme is None else others | {"README.md": readme}
    hub.repos[name] = Repo(files, gated="manual" if gated else False)
    return f"/api/v1/discover/models/{name}/card"


def test_a_card_is_the_readme_without_its_metadata(backend: RunningBackend, hub: Hub) -> None:
    path = path_of_model(hub, README.encode())

    card = backend.get(path).json()

    assert card["text"] == "# A model\n\nIt answers.\n\n---\n\nThe end: ü"
    assert (card["is_truncated"], len(card["commit"])) == (False, 40)
    hub.requests.clear()
    assert backend.get(path).json() == card
    assert hub.requests == []


def test_a_long_card_is_cut_and_says_so(backend: RunningBackend, hub: Hub) -> None:
    card = backend.get(path_of_model(hub, "ü".encode() * MAX_CARD_BYTES)).json()

    assert card["is_truncated"]
    assert card["text"] == "ü" * (MAX_CARD_BYTES // 2)


def test_a_model_without_a_card_and_a_gated_one_are_told_apart(backend: RunningBackend, hub: Hub) -> None:
    missing = backend.get(path_of_model(hub, None))
    gated = backend.get(path_of_model(hub, README.encode(), gated=True))
    unknown = backend.get("/api/v1/discover/models/org/nobody-made-it/card")

    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert "README" in missing.json()["detail"]
    assert (gated.status_code, gated.json()["code"]) == (403, "gated_model")
    assert unknown.status_code == 404
    assert "README" not in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("---\na: 1\n---\nrest", "rest"),
        ("\ufeff---\r\na: 1\r\n---\r\nrest\r\n", "rest"),
        ("---\na: 1\n---", ""),
        ("---\nnever closed", "---\nnever closed"),
        ("text\n---\na: 1\n---\n", "text\n---\na: 1\n---"),
        ("", ""),
    ],
)
def test_metadata_is_only_what_stands_at_the_very_beginning(text: str, expected: str) -> None:
    assert without_front_matter(text) == expected
