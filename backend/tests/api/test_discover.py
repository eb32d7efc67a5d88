"""`/discover` and `/downloads` over HTTP against a real hub stand-in; a hub that fails is never an empty list."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.downloads import REPO_ID, model_files
from fixtures.hub import TOKEN, Fault, Hub, Repo, run_hub

API = "/api/v1"
NUM_MODELS = 7


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """One hub for the module, with models by falling downloads."""
    with run_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def backend(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    home = tmp_path_factory.mktemp("discover")
    with run_backend(home, f"sqlite:///{home}/hub.db", HF_ENDPOINT=hub.endpoint, HF_TOKEN="hf_not_accepted") as backend:
        yield backend


@pytest.fixture(autouse=True)
def models(hub: Hub) -> None:
    """The same models for each test; answers are remembered for a minute, so tests ask for different pages or names."""
    hub.faults.clear()
    hub.requests.clear()
    safetensors: dict[str, Any] = {"parameters": {"U32": 1_000_000, "BF16": 250_000}, "total": 1_250_000}
    for number in range(NUM_MODELS):
        name = f"org/model-{number}-4bit"
        hub.repos[name] = Repo(
            model_files(1000), downloads=1000 - number, tags=["mlx", "4-bit"], extra={"safetensors": safetensors}
        )
    hub.repos["org/torch"] = Repo(model_files(1000), tags=["pytorch"], downloads=5000)
    hub.repos[REPO_ID] = Repo(model_files(10_000), extra={"cardData": {"license": "mit"}})


def names(answer: dict[str, Any]) -> list[str]:
    return [item["name"] for item in answer["items"]]


def test_search_pages_through_the_hub(backend: RunningBackend) -> None:
    pages = [backend.get(f"{API}/discover/search?query=model&page={page}&page_size=3").json() for page in (1, 2, 3, 4)]

    assert [names(page) for page in pages] == [
        ["model-0-4bit", "model-1-4bit", "model-2-4bit"],
        ["model-3-4bit", "model-4-4bit", "model-5-4bit"],
        ["model-6-4bit"],
        [],
    ]
    assert [page["has_more"] for page in pages] == [True, True, False, False]
    assert [page["total"] for page in pages[:3]] == [4, 7, 7]


def test_a_page_that_was_seen_costs_the_hub_nothing(backend: RunningBackend, hub: Hub) -> None:
    path = f"{API}/discover/search?query=model-1"
    first = backend.get(path).json()
    hub.requests.clear()

    assert backend.get(path).json() == first

    assert hub.requests == []


def test_a_found_model_tells_what_a_card_shows(backend: RunningBackend) -> None:
    (model,) = backend.get(f"{API}/discover/search?query=model-2").json()["items"]

    assert (model["repo_id"], model["author"], model["quantization"], model["fits"]) == (
        "org/model-2-4bit",
        "org",
        "4-bit",
        "yes",
    )
    assert model["weight_bytes"] == 4 * 1_000_000 + 2 * 250_000
    assert model["num_parameters"] == 8_000_000
    assert model["is_gated"] is False


def test_other_formats_are_found_on_request(backend: RunningBackend) -> None:
    assert names(backend.get(f"{API}/discover/search?query=torch").json()) == []
    assert names(backend.get(f"{API}/discover/search?query=torch&mlx_only=false").json()) == ["torch"]


def test_the_order_can_be_chosen(backend: RunningBackend) -> None:
    found = backend.get(f"{API}/discover/search?query=model&sort=trending&page_size=2").json()

    assert names(found) == ["model-6-4bit", "model-5-4bit"]


def test_popular_are_mlx_models_by_downloads(backend: RunningBackend) -> None:
    assert names(backend.get(f"{API}/discover/popular?page_size=2").json()) == ["model-0-4bit", "model-1-4bit"]


def test_details_have_files_memory_and_license(backend: RunningBackend, hub: Hub) -> None:
    details = backend.get(f"{API}/discover/models/{REPO_ID}").json()

    sizes = {name: len(content) for name, content in hub.repos[REPO_ID].files.items()}
    assert {file["name"]: file["num_bytes"] for file in details["files"]} == sizes
    skipped = {file["name"] for file in details["files"] if not file["is_downloaded"]}
    assert skipped == {"modeling_tiny.py", "pytorch_model.bin", "onnx/config.json", "README.md"}
    assert details["download_bytes"] == sum(size for name, size in sizes.items() if name not in skipped)
    # Two layers, two heads of 16 values, keys and values of two bytes, 4096 tokens.
    assert details["kv_cache_bytes"] == 2 * 2 * 2 * 16 * 2 * 4096
    assert details["memory_bytes"] == sizes["model.safetensors"] + details["kv_cache_bytes"]
    assert (details["license"], details["quantization"], details["architecture"]) == ("mit", "4-bit", "Qwen3ForCausalLM")
    assert (details["fits"], details["has_access"], details["commit"]) == ("yes", True, hub.repos[REPO_ID].commit)


def test_details_of_a_gated_model_say_that_access_is_missing(backend: RunningBackend, hub: Hub) -> None:
    hub.repos["org/gated"] = Repo(model_files(1000), gated="manual")

    details = backend.get(f"{API}/discover/models/org/gated").json()

    assert (details["is_gated"], details["has_access"], details["model_type"]) == (True, False, None)
    assert details["weight_bytes"] > 1000


def test_links_to_the_hub_lead_to_the_one_that_is_set(backend: RunningBackend, hub: Hub) -> None:
    (found,) = backend.get(f"{API}/discover/search?query=model-3").json()["items"]
    details = backend.get(f"{API}/discover/models/{REPO_ID}").json()

    assert found["url"] == f"{hub.endpoint}/org/model-3-4bit"
    assert (details["url"], details["tokens_url"]) == (f"{hub.endpoint}/{REPO_ID}", f"{hub.endpoint}/settings/tokens")


@pytest.mark.parametrize("path", ["models/org/nothing", "models/org/..%2fx", "models/-org/x"])
def test_a_model_that_is_not_there_is_an_error(backend: RunningBackend, path: str) -> None:
    answer = backend.get(f"{API}/discover/{path}")

    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("status", "expected", "code"), [(500, 503, "upstream_down"), (429, 503, "upstream_down"), (418, 502, "upstream")]
)
def test_a_hub_that_fails_is_an_error_and_no_empty_list(
    backend: RunningBackend, hub: Hub, status: int, expected: int, code: str
) -> None:
    hub.faults["api"] = Fault("status", at=status, retry_after="17")

    answer = backend.get(f"{API}/discover/search?query=status-{status}")

    assert (answer.status_code, answer.json()["code"]) == (expected, code)
    assert answer.headers.get("retry-after") == ("17" if code == "upstream_down" else None)


def test_a_hub_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with run_hub() as gone:
        endpoint = gone.endpoint
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db", HF_ENDPOINT=endpoint) as backend:
        answer = backend.get(f"{API}/discover/popular")

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_down")


@pytest.mark.parametrize(
    "query", ["page=0", "page=51", "page_size=0", "page_size=101", "sort=name", "mlx_only=perhaps", "query=%00"]
)
def test_a_wrong_parameter_is_refused(backend: RunningBackend, hub: Hub, query: str) -> None:
    assert backend.get(f"{API}/discover/search?{query}").status_code == 422
    assert hub.requests == []


def test_both_ways_to_ask_lead_to_one_download(backend: RunningBackend) -> None:
    body = {"repo_id": "org/model-5-4bit"}

    answers = [backend.post(f"{API}{path}", body) for path in ("/models/download", "/discover/download", "/models/download")]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (answers[0].json()["status"], answers[0].json()["revision"]) == ("queued", "main")


def test_a_download_is_paused_resumed_and_cancelled(backend: RunningBackend) -> None:
    download = backend.post(f"{API}/models/download", {"repo_id": "org/model-6-4bit", "revision": "v1"}).json()
    path = f"{API}/downloads/{download['id']}"

    statuses = [backend.post(f"{path}/{verb}").json()["status"] for verb in ("pause", "resume", "cancel")]

    assert statuses == ["paused", "queued", "cancelled"]
    refused = backend.post(f"{path}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    listed = backend.get(f"{API}/downloads?status=cancelled").json()
    assert [item["id"] for item in listed["items"]] == [download["id"]]
    assert backend.get(path).json()["status"] == "cancelled"


def test_a_download_can_be_pinned(backend: RunningBackend) -> None:
    download = backend.post(f"{API}/models/download", {"repo_id": "org/model-4-4bit"}).json()
    path = f"{API}/downloads/{download['id']}/pin"

    assert backend.request("PUT", path).json()["is_pinned"] is True
    assert backend.request("DELETE", path).json()["is_pinned"] is False


def test_usage_is_told(backend: RunningBackend) -> None:
    usage = backend.get(f"{API}/downloads/usage").json()

    assert (usage["num_bytes"], usage["max_bytes"]) == (0, 50 * 10**9)
    assert usage["free_disk_bytes"] > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"repo_id": "x"},
        {"repo_id": "../../etc"},
        {"repo_id": "a/b", "revision": "../x"},
        {"repo_id": 5},
        {"repo_id": "a/b", "url": "x"},
    ],
)
def test_a_wrong_download_is_refused(backend: RunningBackend, body: dict[str, object]) -> None:
    assert backend.post(f"{API}/models/download", body).status_code == 422


def test_an_unknown_download_is_not_found(backend: RunningBackend) -> None:
    unknown = f"{API}/downloads/00000000-0000-0000-0000-000000000000"

    assert {backend.get(unknown).status_code, backend.post(f"{unknown}/cancel").status_code} == {404}


def test_the_token_is_in_no_answer_and_no_log(backend: RunningBackend, hub: Hub) -> None:
    hub.faults["api"] = Fault("status", at=500)

    answers = [backend.get(f"{API}/discover/search?query=token-{number}").text for number in range(2)]

    assert {seen.authorization for seen in hub.requests} == {"Bearer hf_not_accepted"}
    assert "hf_not_accepted" not in json.dumps(answers) + backend.log()
    assert TOKEN not in backend.log()


def test_models_are_filtered_by_quantisation_size_and_fit(backend: RunningBackend, hub: Hub) -> None:
    tiny: dict[str, Any] = {"parameters": {"BF16": 1000}, "total": 1000}
    vast: dict[str, Any] = {"parameters": {"U32": 10**13}, "total": 10**13}
    for number in range(120):
        hub.repos[f"filtered/plain-{number}"] = Repo({}, tags=["mlx"], extra={"safetensors": tiny})
    for number in range(3):
        hub.repos[f"filtered/packed-{number}-8bit"] = Repo({}, tags=["mlx", "8-bit"], extra={"safetensors": vast})
    hub.repos["filtered/silent-8bit"] = Repo({}, tags=["mlx"])

    def found(**query: object) -> dict[str, Any]:
        answer = backend.get(f"{API}/discover/search", params={"query": "filtered", **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert len(names(found(quantization="8-bit"))) == 4
    assert set(names(found(min_bytes=10**12))) == {f"packed-{number}-8bit" for number in range(3)}
    assert names(found(quantization="8-bit", fits=True)) == []
    pages = [found(fits=True, max_bytes=2000, page=page, page_size=50) for page in (1, 2, 3, 4)]
    assert [len(page["items"]) for page in pages] == [50, 50, 20, 0]
    assert [page["has_more"] for page in pages] == [True, True, False, False]
    assert len({name for page in pages for name in names(page)}) == 120
    assert backend.get(f"{API}/discover/search", params={"quantization": "four"}).status_code == 422
