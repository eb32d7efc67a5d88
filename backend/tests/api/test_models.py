"""Registered models over HTTP, on both databases: create, find, change, delete, and send the same request twice."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.inference import InferenceStandIn
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Download, JobStatus, Task, TrainingJob
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.versions import Lineage, add_version
from sqlmodel.ext.asyncio.session import AsyncSession


def test_a_created_model_is_found_again(backend: RunningBackend) -> None:
    name = f"support-bot-{uuid4().hex}"

    created = backend.create_model(name, description="Says 你好", tags={"team": "ß"}, task_type="chat")

    assert created == backend.get(f"/api/v1/models/{created['id']}").json()
    assert (created["name"], created["type"], created["task_type"], created["tags"]) == (name, "base", "chat", {"team": "ß"})
    assert (created["latest_version"], created["aliases"], created["base_model_id"]) == (None, {}, None)
    assert UUID(created["id"]).version == 4
    assert datetime.fromisoformat(created["created_at"]).utcoffset() == timedelta(0)


def test_a_taken_name_is_a_conflict_in_every_unicode_form(backend: RunningBackend) -> None:
    name = f"caf\u00e9-{uuid4().hex}"
    backend.create_model(name)

    answer = backend.post("/api/v1/models", {"name": name.replace("\u00e9", "e\u0301"), "base_model": "org/base"})

    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert answer.json()["errors"][0]["field"] == "name"


@pytest.mark.parametrize("name", ["模型 ⚡", "org/name", "a.b_c-d", "x" * 170, "it's; DROP TABLE x--"])
def test_names_may_be_of_any_script(backend: RunningBackend, name: str) -> None:
    name = f"{name}{uuid4().hex[:8]}"

    assert backend.create_model(name)["name"] == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"base_model": "b"}, "name"),
        ({"name": "a"}, "base_model"),
        ({"name": "", "base_model": "b"}, "name"),
        ({"name": "   ", "base_model": "b"}, "name"),
        ({"name": "a\u0000b", "base_model": "b"}, "name"),
        ({"name": "a\nb", "base_model": "b"}, "name"),
        ({"name": "../../etc", "base_model": "b"}, "name"),
        ({"name": "a/../b", "base_model": "b"}, "name"),
        ({"name": "/etc", "base_model": "b"}, "name"),
        ({"name": "a\\b", "base_model": "b"}, "name"),
        ({"name": "x" * 201, "base_model": "b"}, "name"),
        ({"name": 7, "base_model": "b"}, "name"),
        ({"name": "a", "base_model": "b", "descripton": "typo"}, "descripton"),
        ({"name": "a", "base_model": "b", "description": "\u0000"}, "description"),
        ({"name": "a", "base_model": "b", "tags": {"k": 1}}, "tags.k"),
        ({"name": "a", "base_model": "b", "tags": {"k": "\u0000"}}, "tags.k"),
        (["not an object"], "body"),
    ],
)
def test_a_malformed_body_names_its_field(backend: RunningBackend, body: object, field: str) -> None:
    answer = backend.post("/api/v1/models", body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_input"
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_pages_cover_all_matches_once_newest_first(backend: RunningBackend) -> None:
    word = uuid4().hex
    names = [backend.create_model(f"{word}-{number}")["name"] for number in range(5)]

    pages = [backend.get("/api/v1/models", params={"query": word, "page": n, "page_size": 2}).json() for n in (1, 2, 3, 4)]

    assert [[model["name"] for model in page["items"]] for page in pages] == [names[:2:-1], names[2:0:-1], names[:1], []]
    assert [(page["total"], page["page"], page["page_size"]) for page in pages] == [(5, n, 2) for n in (1, 2, 3, 4)]


def test_search_takes_wildcards_literally(backend: RunningBackend) -> None:
    word = uuid4().hex
    backend.create_model(f"{word}-plain", description="100 percent")
    special = backend.create_model(f"{word}-special", description="100% of a_b \\ /")

    for query in ("100% of", "a_b", "% OF A_B \\ /"):
        found = backend.get("/api/v1/models", params={"query": query}).json()["items"]
        assert special["id"] in {model["id"] for model in found}
        assert word + "-plain" not in {model["name"] for model in found}


def test_list_can_be_filtered_by_type_and_task(backend: RunningBackend) -> None:
    word = uuid4().hex
    base = backend.create_model(f"{word}-base", task_type=word)

    async def add_adapter(session: AsyncSession) -> None:
        session.add(RegisteredModel(name=f"{word}-lora", base_model="b", kind=ModelKind.ADAPTER, base_model_id=UUID(base["id"])))

    backend.in_session(add_adapter)

    def names(**wanted: str) -> list[str]:
        return [model["name"] for model in backend.get("/api/v1/models", params={"query": word, **wanted}).json()["items"]]

    assert names(type="adapter") == [f"{word}-lora"]
    assert names(type="base") == [f"{word}-base"]
    assert names(task_type=word) == [f"{word}-base"]
    assert backend.get("/api/v1/models?type=other").status_code == 422


def test_patch_changes_what_it_names_only(backend: RunningBackend) -> None:
    model = backend.create_model(description="old", tags={"a": "1"})

    answer = backend.request("PATCH", f"/api/v1/models/{model['id']}", json={"description": "new", "tags": {}})

    changed = answer.json()
    assert answer.status_code == 200
    assert changed == {**model, "description": "new", "tags": {}, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > model["updated_at"]


def test_patch_to_a_taken_name_is_a_conflict(backend: RunningBackend) -> None:
    first, second = backend.create_model(), backend.create_model()

    assert backend.request("PATCH", f"/api/v1/models/{second['id']}", json={"name": first["name"]}).status_code == 409
    assert backend.get(f"/api/v1/models/{second['id']}").json() == second


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_and_malformed_ids(backend: RunningBackend, method: str) -> None:
    body = {"json": {}} if method == "PATCH" else {}

    assert backend.request(method, f"/api/v1/models/{uuid4()}", **body).status_code == 404
    malformed = backend.request(method, "/api/v1/models/not-an-id", **body)
    assert (malformed.status_code, malformed.json()["errors"][0]["field"]) == (422, "model_id")


def test_delete_removes_own_files_and_what_is_served_but_no_strangers_files(
    backend: RunningBackend, inference: InferenceStandIn, tmp_path: Path
) -> None:
    model = backend.create_model()
    own, stranger = backend.data_dir / "adapters" / uuid4().hex, tmp_path / "stranger"
    for folder in (own, stranger):
        folder.mkdir(parents=True)
        (folder / "adapters.safetensors").write_bytes(b"x")

    async def add_versions(session: AsyncSession) -> None:
        for folder in (own, stranger, backend.data_dir):
            await add_version(session, UUID(model["id"]), str(folder), Lineage())

    backend.in_session(add_versions)
    promoted = backend.request("PUT", f"/api/v1/models/{model['id']}/aliases/champion", json={"version": 1}).json()

    answer = backend.request("DELETE", f"/api/v1/models/{model['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert backend.get(f"/api/v1/models/{model['id']}").status_code == 404
    assert (own.exists(), stranger.exists(), backend.data_dir.exists()) == (False, True, True)
    assert promoted["served"]
    assert promoted["served_name"] not in inference.served


def _refused(backend: RunningBackend, model_id: str, *told: str) -> None:
    answer = backend.request("DELETE", f"/api/v1/models/{model_id}")

    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert all(text in answer.json()["detail"] for text in told)


def test_a_model_that_another_stands_on_stays(backend: RunningBackend) -> None:
    base = backend.create_model()
    dependent = backend.create_model(base_model=base["name"])
    assert dependent["base_model_id"] == base["id"]

    _refused(backend, base["id"], dependent["name"])

    assert backend.request("DELETE", f"/api/v1/models/{dependent['id']}").status_code == 204
    assert backend.request("DELETE", f"/api/v1/models/{base['id']}").status_code == 204


@pytest.mark.parametrize("is_shared", [False, True])
def test_downloaded_weights_go_with_the_last_model_that_has_them(backend: RunningBackend, is_shared: bool) -> None:
    repo_id, commit = f"org/{uuid4().hex}", "c" * 40
    model = backend.create_model(base_model=repo_id)
    if is_shared:
        backend.create_model(base_model=repo_id)
    snapshot = CacheFolder(backend.home / "cache").snapshot(repo_id, commit)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x")
    download = Download(repo_id=repo_id, revision="main", commit=commit, status="ready", model_id=UUID(model["id"]))

    async def add_download(session: AsyncSession) -> None:
        session.add(download)

    async def status(session: AsyncSession) -> str:
        return (await session.get_one(Download, download.id)).status

    backend.in_session(add_download)

    assert backend.request("DELETE", f"/api/v1/models/{model['id']}").status_code == 204
    assert snapshot.exists() == is_shared
    assert backend.in_session(status) == ("ready" if is_shared else "evicted")


def test_a_model_that_work_needs_stays_until_the_work_ends(backend: RunningBackend) -> None:
    model_id = UUID(backend.create_model()["id"])
    job, task = uuid4(), uuid4()
    download = Download(repo_id=f"org/{uuid4().hex}", revision="main", model_id=model_id)

    async def add_work(session: AsyncSession) -> None:
        dataset = Dataset(name=uuid4().hex, format="chat", path="/x", sha256="a", num_rows=1, num_bytes=1)
        session.add_all([dataset, download, Task(id=task, store_id="store", kind="export", subject_id=model_id)])
        await session.flush()
        session.add(
            TrainingJob(
                id=job,
                name="run",
                store_id="store",
                adapter_name="adapter",
                model_id=model_id,
                dataset_id=dataset.id,
                status=JobStatus.RUNNING,
            )
        )

    async def end_work(session: AsyncSession) -> None:
        (await session.get_one(TrainingJob, job)).status = JobStatus.COMPLETED
        (await session.get_one(Task, task)).status = JobStatus.FAILED
        (await session.get_one(Download, download.id)).status = "ready"

    backend.in_session(add_work)
    _refused(backend, str(model_id), f"training job {job}", f"export task {task}", f"download {download.id}")

    backend.in_session(end_work)
    assert backend.request("DELETE", f"/api/v1/models/{model_id}").status_code == 204


def test_the_same_key_and_body_create_one_model(backend: RunningBackend) -> None:
    body, key = {"name": uuid4().hex, "base_model": "b"}, {"Idempotency-Key": uuid4().hex}

    first, second = (backend.post("/api/v1/models", body, headers=key) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert backend.get("/api/v1/models", params={"query": body["name"]}).json()["total"] == 1


def test_the_same_key_with_another_body_is_refused(backend: RunningBackend) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    backend.post("/api/v1/models", {"name": uuid4().hex, "base_model": "b"}, headers=key)

    answer = backend.post("/api/v1/models", {"name": uuid4().hex, "base_model": "b"}, headers=key)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "idempotency-key")


def test_a_key_whose_request_failed_can_be_used_again(backend: RunningBackend) -> None:
    taken, key = backend.create_model(), {"Idempotency-Key": uuid4().hex}
    assert backend.post("/api/v1/models", {"name": taken["name"], "base_model": "b"}, headers=key).status_code == 409

    assert backend.post("/api/v1/models", {"name": uuid4().hex, "base_model": "b"}, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 201])
def test_a_malformed_key_is_refused(backend: RunningBackend, key: str) -> None:
    answer = backend.post("/api/v1/models", {"name": uuid4().hex, "base_model": "b"}, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "idempotency-key")
