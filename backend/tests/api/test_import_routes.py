"""Folders imported over HTTP: asked for once, followed as a task, and used by their name."""

import shutil
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.tasks import Tasks
from fixtures.training import ModelMaker

DEMO_MODEL = Path(__file__).parents[3] / "inference-server/src/unified_mlx_app/demo_model"
IMPORT = "/api/v1/models/import"


def test_demo_model_is_imported_under_a_name(backend: RunningBackend) -> None:
    body, key = {"path": str(DEMO_MODEL), "name": "demo"}, {"Idempotency-Key": uuid4().hex}

    answer = backend.post(IMPORT, body, headers=key)

    assert answer.status_code == 202, answer.text
    task = answer.json()
    assert (task["kind"], task["status"], task["has_archive"]) == ("import", "queued", False)
    assert (task["subject_id"], task["arguments"]["name"]) == (task["id"], "local/demo")
    assert backend.post(IMPORT, body, headers=key).json() == task
    assert backend.post(IMPORT, body).json()["errors"][0]["field"] == "name"
    assert task in backend.get("/api/v1/tasks", params={"kind": "import"}).json()["items"]

    Tasks(backend.home, backend.database_url).run(UUID(task["id"]))

    result = backend.get(f"/api/v1/tasks/{task['id']}").json()["result"]
    model = backend.get(f"/api/v1/models/{result['model_id']}").json()
    assert (model["name"], model["type"], model["base_model"]) == ("local/demo", "base", "local/demo")
    download = backend.get(f"/api/v1/downloads/{result['download_id']}").json()
    assert (download["status"], download["is_pinned"]) == ("ready", True)
    assert (Path(result["path"]) / "model.safetensors").read_bytes() == (DEMO_MODEL / "model.safetensors").read_bytes()
    assert backend.post(IMPORT, body).status_code == 409
    # It goes with its copy; the folder stays.
    assert backend.request("DELETE", f"/api/v1/models/{model['id']}").status_code == 204
    assert not Path(result["path"]).exists()
    assert (DEMO_MODEL / "config.json").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"path": "models/mine"}, "path"),
        ({"path": "/no/such/folder"}, "path"),
        ({"path": "/etc"}, "path"),
        ({"path": "/x\0"}, "path"),
        ({"path": "/" + "x" * 300}, "path"),
        ({"path": str(DEMO_MODEL), "name": "../up"}, "name"),
        ({"path": str(DEMO_MODEL), "name": ""}, "name"),
        ({"path": str(DEMO_MODEL), "revision": "main"}, "revision"),
    ],
)
def test_what_cannot_be_imported_names_the_field(backend: RunningBackend, body: object, field: str) -> None:
    answer = backend.post(IMPORT, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field


def test_link_out_of_the_folder_is_refused(backend: RunningBackend, tiny_models: ModelMaker, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models(), tmp_path / "hostile")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/etc/passwd")

    answer = backend.post(IMPORT, {"path": str(folder)})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "path")
    assert "outside of the folder" in answer.json()["errors"][0]["message"]
