"""The whole loop as people use it: find and download a model, train it on rows of one's own, and chat with the result."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from e2e.stack import ANSWER, CONFIG, QUESTION, REPO_ID, Platform, run_platform
from fixtures.hub import run_hub
from safetensors import safe_open

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_database: Callable[[], str]
) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    url = f"sqlite:///{home}/hub.db" if request.param == "sqlite" else postgres_database()
    with run_hub() as hub, run_platform(home, url, hub) as running:
        yield running


def test_a_model_is_found_downloaded_trained_evaluated_registered_and_answers_what_it_learned(platform: Platform) -> None:
    found = platform.get("/discover/search?query=talker")
    assert [model["repo_id"] for model in found["items"]] == [REPO_ID]
    model_id = platform.download()
    before = platform.inference.answer(REPO_ID, QUESTION)

    job_id = platform.train(model_id, platform.upload())
    job = platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")

    # Served by the time the job says that it is done, or moments later.
    platform.worker.wait_until(lambda: platform.inference.answer("vault@latest", QUESTION) == ANSWER, 60)
    assert before != ANSWER
    assert platform.inference.answer(REPO_ID, QUESTION) == before
    served = {model["id"] for model in platform.inference.get("/v1/models")["data"]}
    assert {"vault@latest", "vault@champion", REPO_ID} <= served
    losses = [point["value"] for point in platform.get(f"/training/{job_id}/metrics?name=train_loss")["series"]["train_loss"]]
    assert len(losses) == job["num_steps"] == 100
    assert losses[-1] < losses[0] / 10
    _check_version(platform, job)


def _check_version(platform: Platform, job: dict) -> None:
    """Its lineage, the comparison, and that the files are what the settings asked for."""
    (adapter,) = platform.get("/models?query=vault")["items"]
    version = platform.get(f"/models/{adapter['id']}/versions/1")
    assert version["id"] == job["model_version_id"]
    assert (version["dataset_id"], version["seed"]) == (job["dataset_id"], 42)
    assert len(version["dataset_sha256"]) == 64
    assert len(version["base_commit"]) == 40
    assert version["metrics"]["adapter_loss"] < version["metrics"]["base_loss"]
    assert any(sample["adapter"] == sample["expected"] for sample in version["samples"])
    (weights,) = (platform.home / "data" / "adapters" / adapter["id"]).rglob("adapters.safetensors")
    with safe_open(weights, "numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    ranks = {shape[-1] if name.endswith("lora_a") else shape[0] for name, shape in shapes.items()}
    assert ranks == {CONFIG["lora_rank"]}


def test_promoting_another_version_and_rolling_back_change_what_is_served(platform: Platform) -> None:
    (adapter,) = platform.get("/models?query=vault")["items"]
    first = platform.inference.answer("vault@champion", QUESTION)
    other = "The vault is open."
    rows = [{"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": other}]}]
    base_id = adapter["base_model_id"]
    job_id = platform.train(base_id, platform.upload(rows, name="other", times=8), epochs=40)
    platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")
    platform.worker.wait_until(lambda: platform.inference.answer("vault@latest", QUESTION) == other, 60)
    assert platform.inference.answer("vault@champion", QUESTION) == first == ANSWER

    champion = f"/api/v1/models/{adapter['id']}/aliases/champion"
    promoted = platform.backend.request("PUT", champion, json={"version": 2}).json()
    after_promotion = platform.inference.answer("vault@champion", QUESTION)
    platform.backend.request("PUT", champion, json={"version": 1})
    after_rollback = platform.inference.answer("vault@champion", QUESTION)

    assert promoted["served"], promoted
    assert (after_promotion, after_rollback) == (other, ANSWER)


def test_events_tell_the_whole_story_of_a_job(platform: Platform) -> None:
    (adapter,) = platform.get("/models?query=vault")["items"]
    dataset_id = platform.upload(name="events")
    kinds: list[str] = []
    statuses: list[str] = []
    steps: list[int] = []

    with httpx.stream("GET", f"{platform.backend.base_url}/api/v1/events", timeout=120) as stream:
        lines = stream.iter_lines()
        assert any("hello" in line for line in lines)
        job_id = platform.train(adapter["base_model_id"], dataset_id, steps=12)
        for event, data in _events(lines):
            if data.get("subject_id") != job_id:
                continue
            kinds.append(event)
            if event == "metrics":
                steps += [point["step"] for point in data["payload"]["points"]]
            else:
                statuses.append(data["payload"]["status"])
                if statuses[-1] in ("completed", "failed"):
                    break

    assert statuses[0] == "queued"
    assert statuses[-1] == "completed"
    assert sorted(set(steps)) == list(range(0, 13)) or sorted(set(steps)) == list(range(1, 13))
    assert set(kinds) == {"job", "metrics"}


def _events(lines: Iterator[str]) -> Iterator[tuple[str, dict]]:
    event = ""
    for line in lines:
        if line.startswith("event:"):
            event = line.partition(":")[2].strip()
        elif line.startswith("data:"):
            yield event, json.loads(line.partition(":")[2])
