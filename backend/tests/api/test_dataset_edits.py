"""Rows changed over HTTP, and what depends on datasets and models, on both databases."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.datasets import DATASETS, files_of, lines, refusal, upload
from mlx_hub.models.job import Download, DownloadStatus, JobStatus, TrainingJob
from mlx_hub.models.registered_model import ModelVersion

ROWS = lines({"text": "one"}, {"prompt": "q", "completion": "a"}, {"text": "three"})
REPLACE = {"op": "replace", "row": 2, "content": {"text": "zwei: ü"}}


def edit(backend: RunningBackend, dataset_id: str, *edits: dict[str, Any], **body: Any) -> Any:
    return backend.post(f"{DATASETS}/{dataset_id}/edits", {"edits": list(edits), **body})


def content(backend: RunningBackend, dataset_id: str) -> bytes:
    return backend.get(f"{DATASETS}/{dataset_id}/content").content


def add_job(backend: RunningBackend, status: JobStatus, **values: Any) -> UUID:
    values = {"model_id": None, "dataset_id": None, **values}
    return backend.add(TrainingJob(name="job", store_id="other", adapter_name="adapter", status=status, **values))


def test_an_edit_makes_a_new_dataset_and_leaves_the_old_one(backend: RunningBackend) -> None:
    old = upload(backend, ROWS, name=uuid4().hex, description="three")

    answer = edit(
        backend, old["id"], REPLACE, {"op": "delete", "row": 1}, {"op": "insert", "row": 4, "content": {"text": "four"}}
    )

    assert answer.status_code == 201, answer.text
    new = answer.json()
    expected = '{"text":"zwei: ü"}\n{"text": "three"}\n{"text":"four"}\n'.encode()
    assert content(backend, new["id"]) == expected
    assert new["sha256"] == hashlib.sha256(expected).hexdigest()
    assert (new["name"], new["description"], new["num_rows"]) == (f"{old['name']}-v2", "three", 3)
    assert new["report"]["source"] | {"kind": "edit", "dataset_id": old["id"]} == new["report"]["source"]
    assert content(backend, old["id"]) == ROWS
    assert edit(backend, old["id"], REPLACE).json()["name"] == f"{old['name']}-v3"
    assert files_of(backend) == set()


def test_an_edit_can_take_the_place_of_the_old_dataset(backend: RunningBackend) -> None:
    old = upload(backend, ROWS, name=uuid4().hex)

    new = edit(backend, old["id"], REPLACE, replaces_original=True).json()

    assert new["name"] == old["name"]
    assert new["id"] != old["id"]
    assert new["sha256"] != old["sha256"]
    assert backend.get(f"{DATASETS}/{old['id']}").status_code == 404
    assert files_of(backend, old["id"]) == set()
    assert files_of(backend, new["id"]) == {".jsonl", ".index", ".problems"}


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.COMPLETED])
def test_what_was_trained_on_stays_as_it_is(backend: RunningBackend, status: JobStatus) -> None:
    old = upload(backend, ROWS)
    add_job(backend, status, dataset_id=UUID(old["id"]))

    message = refusal(edit(backend, old["id"], REPLACE, replaces_original=True), 409, "in_use")

    assert "trained on" in message
    assert content(backend, old["id"]) == ROWS
    assert edit(backend, old["id"], REPLACE).status_code == 201


@pytest.mark.parametrize(
    ("edits", "field"),
    [
        ([{"op": "replace", "row": 1, "content": {"messages": []}}], "edits.0.content"),
        ([REPLACE, {"op": "insert", "row": 1, "content": {}}], "edits.1.content"),
        ([REPLACE, {"op": "insert", "row": 1, "content": {"text": "x", "big": 2**70}}], "edits.1.content"),
        ([REPLACE, {"op": "delete", "row": 2}], "edits.1.row"),
        ([{"op": "delete", "row": 0}], "edits.0.delete.row"),
        ([{"op": "delete", "row": 1, "content": {}}], "edits.0.delete.content"),
        ([], "edits"),
    ],
)
def test_a_bad_edit_is_refused_by_name_and_nothing_is_made(backend: RunningBackend, edits: list[Any], field: str) -> None:
    old = upload(backend, ROWS)

    answer = edit(backend, old["id"], *edits)

    refusal(answer, 422, "invalid_input")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert files_of(backend) == set()


def test_edits_that_leave_no_row_or_name_a_missing_one_are_refused(backend: RunningBackend) -> None:
    old = upload(backend, lines({"text": "only"}))

    assert "no_rows" in refusal(edit(backend, old["id"], {"op": "delete", "row": 1}), 422, "invalid_input")
    assert "bad_edit" in refusal(edit(backend, old["id"], {"op": "delete", "row": 2}), 422, "invalid_input")
    assert edit(backend, str(uuid4()), REPLACE).status_code == 404
    other = upload(backend, ROWS)
    assert refusal(
        edit(backend, old["id"], {"op": "insert", "row": 1, "content": {"text": "x"}}, name=other["name"]), 409, "conflict"
    )


def test_the_same_edit_sent_twice_is_done_once(backend: RunningBackend) -> None:
    old = upload(backend, ROWS)
    headers = {"Idempotency-Key": uuid4().hex}

    def send(_: int) -> Any:
        return backend.post(f"{DATASETS}/{old['id']}/edits", {"edits": [REPLACE]}, headers=headers)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(send, range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert files_of(backend) == set()


def test_rows_tell_their_numbers_across_pages_and_blank_lines(backend: RunningBackend) -> None:
    made = upload(backend, b"\n" + ROWS.replace(b"\n", b"\n\n"))

    rows = backend.get(f"{DATASETS}/{made['id']}/rows", params={"page": 2, "page_size": 2}).json()["items"]

    assert [(row["row_number"], row["line"]) for row in rows] == [(3, 6)]


def test_dependents_of_a_dataset_are_told_before_it_goes(backend: RunningBackend) -> None:
    made, model = upload(backend, ROWS), backend.create_model()
    path = f"{DATASETS}/{made['id']}/dependents"
    assert backend.get(path).json() == {"num_bytes": len(ROWS), "jobs": [], "versions": [], "blockers": [], "can_delete": True}
    done = add_job(backend, JobStatus.FAILED, dataset_id=UUID(made["id"]))
    backend.add(ModelVersion(model_id=UUID(model["id"]), version=3, path="/x", dataset_id=UUID(made["id"])))

    found = backend.get(path).json()
    assert found["jobs"] == [{"id": str(done), "name": "job", "status": "failed"}]
    assert found["versions"] == [{"model_id": model["id"], "model_name": model["name"], "version": 3}]
    assert found["can_delete"]

    add_job(backend, JobStatus.QUEUED, dataset_id=UUID(made["id"]))
    found = backend.get(path).json()
    assert (len(found["jobs"]), len(found["blockers"]), found["can_delete"]) == (2, 1, False)
    assert backend.request("DELETE", f"{DATASETS}/{made['id']}").status_code == 409
    assert backend.get(f"{DATASETS}/{uuid4()}/dependents").status_code == 404


def test_dependents_of_a_model_are_told_before_it_goes(backend: RunningBackend) -> None:
    repo_id = f"org/{uuid4().hex}"
    base = backend.create_model(base_model=repo_id)
    path = f"/api/v1/models/{base['id']}/dependents"
    common: dict[str, Any] = {"repo_id": repo_id, "commit": "c" * 40, "num_bytes_total": 700, "model_id": UUID(base["id"])}
    for revision in ("main", "c" * 40):
        backend.add(Download(revision=revision, status=DownloadStatus.READY, **common))
    inside, outside = backend.data_dir / "adapters" / "a", "/elsewhere"
    for version, folder in ((1, inside), (2, outside)):
        backend.add(ModelVersion(model_id=UUID(base["id"]), version=version, path=str(folder), num_bytes=50))
    job = add_job(backend, JobStatus.COMPLETED, model_id=UUID(base["id"]))

    found = backend.get(path).json()
    assert (found["num_bytes"], found["num_versions"], found["can_delete"]) == (750, 2, True)
    assert found["jobs"] == [{"id": str(job), "name": "job", "status": "completed"}]

    adapter = backend.create_model(base_model=base["name"])
    found = backend.get(path).json()
    assert found["adapters"] == [{"id": adapter["id"], "name": adapter["name"]}]
    assert (len(found["blockers"]), found["can_delete"]) == (1, False)
    assert backend.request("DELETE", f"/api/v1/models/{base['id']}").status_code == 409
    assert backend.get(f"/api/v1/models/{uuid4()}/dependents").status_code == 404
