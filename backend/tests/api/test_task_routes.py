"""Exports and quantisations over HTTP: asked for once, listed, cancelled, and downloaded as one file."""

import hashlib
import io
import json
import os
import socket
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.tasks import AdapterMaker, Tasks
from fixtures.training import ModelMaker


@dataclass
class Served:
    """A backend whose registry has a base model in the cache and an adapter, with names of this test's own."""

    backend: RunningBackend
    tasks: Tasks
    base_id: str
    adapter_id: str

    def export(self, body: object, **headers: str) -> Any:
        return self.backend.post(f"/api/v1/models/{self.adapter_id}/export", body, headers=headers)

    def quantise(self, body: object, **headers: str) -> Any:
        return self.backend.post(f"/api/v1/models/{self.base_id}/quantise", body, headers=headers)

    def completed_export(self, format: str = "adapter") -> dict[str, Any]:
        answer = self.export({"format": format})
        assert answer.status_code == 202, answer.text
        self.tasks.run(UUID(answer.json()["id"]))
        return self.backend.get(f"/api/v1/tasks/{answer.json()['id']}").json()


@pytest.fixture
def served(backend: RunningBackend, tiny_models: ModelMaker, trained_adapter: AdapterMaker) -> Served:
    tasks = Tasks(backend.home, backend.database_url)
    base = tasks.add_base(tiny_models(), name=f"org/base-{uuid4().hex[:8]}")
    version = tasks.add_adapter(base, trained_adapter(), name=f"answers {uuid4().hex[:8]}")
    return Served(backend, tasks, str(base.id), str(version.model_id))


def test_export_is_accepted_and_can_be_followed(served: Served) -> None:
    answer = served.export({"format": "peft", "version": 1})

    assert answer.status_code == 202
    task = answer.json()
    assert (task["kind"], task["status"], task["subject_id"]) == ("export", "queued", served.adapter_id)
    assert (task["arguments"]["format"], task["progress"], task["has_archive"]) == ("peft", 0, False)
    assert served.backend.get(f"/api/v1/tasks/{task['id']}").json() == task
    listed = served.backend.get("/api/v1/tasks", params={"kind": "export", "status": "queued"}).json()
    assert task in listed["items"]
    assert listed["items"][0]["created_at"] >= listed["items"][-1]["created_at"]


def test_the_same_request_with_its_key_is_one_task(served: Served) -> None:
    key = {"Idempotency-Key": uuid4().hex}

    first, second = served.export({"format": "adapter"}, **key), served.export({"format": "adapter"}, **key)
    other = served.export({"format": "peft"}, **key)

    assert first.json() == second.json()
    assert (first.status_code, second.status_code, other.status_code) == (202, 202, 422)
    once, twice = (served.quantise({"bits": 8}, **key) for _ in range(2))
    assert once.json() == twice.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "format"),
        ({"format": "gguf"}, "format"),
        ({"format": "peft", "version": 0}, "version"),
        ({"format": "peft", "x": 1}, "x"),
    ],
)
def test_malformed_export_names_the_field(served: Served, body: object, field: str) -> None:
    answer = served.export(body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "bits"),
        ({"bits": 5}, "bits"),
        ({"bits": 4, "group_size": 48}, "group_size"),
        ({"bits": 4, "name": "../x"}, "name"),
        ({"bits": 4, "name": ""}, "name"),
        ({"bits": 4, "dataset_id": "7"}, "dataset_id"),
    ],
)
def test_malformed_quantisation_names_the_field(served: Served, body: object, field: str) -> None:
    answer = served.quantise(body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field


def test_what_is_not_there_is_404(served: Served) -> None:
    missing = uuid4()
    answers = [
        served.backend.post(f"/api/v1/models/{missing}/export", {"format": "adapter"}),
        served.backend.post(f"/api/v1/models/{missing}/quantise", {"bits": 4}),
        served.export({"format": "adapter", "version": 9}),
        served.quantise({"bits": 4, "dataset_id": str(missing)}),
        served.backend.get(f"/api/v1/tasks/{missing}"),
        served.backend.post(f"/api/v1/tasks/{missing}/cancel"),
        served.backend.get(f"/api/v1/tasks/{missing}/archive"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["code"] for answer in answers} == {"not_found"}


def test_what_the_state_does_not_allow_is_409(served: Served) -> None:
    nowhere = served.backend.create_model()
    assert served.quantise({"bits": 4, "name": "twice"}).status_code in (202, 409)

    answers = {
        "no_version": served.backend.post(f"/api/v1/models/{served.base_id}/export", {"format": "adapter"}),
        "adapter": served.backend.post(f"/api/v1/models/{served.adapter_id}/quantise", {"bits": 4}),
        "not_downloaded": served.backend.post(f"/api/v1/models/{nowhere['id']}/quantise", {"bits": 4}),
        "taken": served.quantise({"bits": 8, "name": "twice"}),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 409)
    assert answers["taken"].json()["errors"][0]["field"] == "name"


def test_cancel_ends_a_queued_task_once(served: Served) -> None:
    task_id = served.export({"format": "fused"}).json()["id"]

    first, second = (served.backend.post(f"/api/v1/tasks/{task_id}/cancel") for _ in range(2))

    assert (first.status_code, first.json()["status"], first.json()["is_cancel_requested"]) == (200, "cancelled", True)
    assert (second.status_code, second.json()["code"]) == (409, "wrong_state")


def test_model_with_an_active_task_is_not_deleted(served: Served) -> None:
    task_id = served.export({"format": "adapter"}).json()["id"]

    answer = served.backend.request("DELETE", f"/api/v1/models/{served.adapter_id}")

    assert answer.status_code == 409
    assert task_id in answer.json()["detail"]


def test_archive_is_the_export_file_for_file(served: Served) -> None:
    task = served.completed_export()
    assert task["has_archive"] is True

    answer = served.backend.get(f"/api/v1/tasks/{task['id']}/archive")

    assert answer.headers["content-type"] == "application/x-tar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    stem = task["arguments"]["model_name"].replace(" ", "-") + "-v1-adapter"
    assert answer.headers["content-disposition"] == f'attachment; filename="{stem}.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        contents = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        files = {name: file.read() for name, file in contents.items() if file}
    manifest = json.loads(files[f"{stem}/manifest.json"])["files"]
    assert {f"{stem}/{name}" for name in manifest} == set(files) - {f"{stem}/manifest.json"}
    for name, facts in manifest.items():
        assert hashlib.sha256(files[f"{stem}/{name}"]).hexdigest() == facts["sha256"]
    assert served.backend.get(f"/api/v1/tasks/{task['id']}/archive").content == answer.content


def test_archive_of_what_has_none_is_409(served: Served) -> None:
    queued = served.export({"format": "adapter"}).json()["id"]

    answer = served.backend.get(f"/api/v1/tasks/{queued}/archive")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


def test_archive_whose_files_are_gone_is_404(served: Served) -> None:
    task = served.completed_export()
    for file in (served.tasks.job_dir(UUID(task["id"])) / "output").iterdir():
        file.unlink()
    (served.tasks.job_dir(UUID(task["id"])) / "output").rmdir()

    answer = served.backend.get(f"/api/v1/tasks/{task['id']}/archive")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_client_that_leaves_an_archive_leaves_no_open_file(served: Served) -> None:
    task = served.completed_export()
    large = served.tasks.job_dir(UUID(task["id"])) / "output" / "large.bin"
    with large.open("wb") as file:
        file.truncate(2**30)
    host, port = served.backend.base_url.removeprefix("http://").split(":")
    path = f"/api/v1/tasks/{task['id']}/archive"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        received = b""
        while b"\r\n" not in received and (data := client.recv(65536)):
            received += data
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")

    deadline = time.monotonic() + 60
    while _open_files(served.backend, large.parent):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # It had no time to read a gigabyte, and did not keep what it read.
    assert served.backend.get("/health/live").status_code == 200
    assert _resident_bytes(served.backend) < 2**29


def _open_files(backend: RunningBackend, folder: Path) -> list[str]:
    found: list[str] = []
    for link in Path(f"/proc/{backend.process.pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return [name for name in found if name.startswith(str(folder))]


def _resident_bytes(backend: RunningBackend) -> int:
    pages = Path(f"/proc/{backend.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_quantised_model_is_a_model_of_the_registry(served: Served) -> None:
    name = f"small-{uuid4().hex[:8]}"
    task_id = served.quantise({"bits": 4, "name": name}).json()["id"]

    served.tasks.run(UUID(task_id))

    task = served.backend.get(f"/api/v1/tasks/{task_id}").json()
    assert task["status"] == "completed", task["error_message"]
    model = served.backend.get(f"/api/v1/models/{task['result']['model_id']}").json()
    assert (model["name"], model["type"], model["base_model"]) == (f"local/{name}", "base", f"local/{name}")
    download = served.backend.get(f"/api/v1/downloads/{task['result']['download_id']}").json()
    assert (download["status"], download["is_pinned"], download["num_bytes_total"]) == (
        "ready",
        True,
        task["result"]["num_bytes"],
    )
    # It goes with its files, pinned or not, as it was registered with them.
    assert served.backend.request("DELETE", f"/api/v1/models/{model['id']}").status_code == 204
    assert not Path(task["result"]["path"]).exists()
    assert served.quantise({"bits": 4, "name": name}).status_code == 202
