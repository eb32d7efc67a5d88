"""`/training` over HTTP: what clients may ask, what they get, and how they are told that it cannot be."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.jobs import COMMIT, add_dataset, add_model, change_row
from fixtures.training import ModelMaker, completion_rows
from mlx_hub.models.job import JobStatus, Metric, TrainingJob
from mlx_hub.services.machines import store_id
from sqlmodel.ext.asyncio.session import AsyncSession

JOBS = "/api/v1/training"


@pytest.fixture
def body(backend: RunningBackend, tiny_models: ModelMaker) -> dict[str, Any]:
    """The ids of a downloaded model and of a dataset with two rows that cannot be used."""
    bad: list[dict[str, Any]] = [{"prompt": "no answer"}, {"text": ""}]

    async def add(session: AsyncSession) -> dict[str, Any]:
        model = await add_model(session, backend.home / "cache", tiny_models(), store=store_id(backend.data_dir))
        dataset = await add_dataset(session, backend.data_dir, [*completion_rows(20), *bad])
        return {"model_id": str(model.id), "dataset_id": str(dataset.id)}

    return backend.in_session(add)


def _create(backend: RunningBackend, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = backend.post(JOBS, {**body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _set(backend: RunningBackend, job: dict[str, Any], **values: Any) -> None:
    backend.in_session(lambda session: change_row(session, UUID(job["id"]), **values))


def test_a_job_is_created_with_the_defaults_of_the_contract(backend: RunningBackend, body: dict[str, Any]) -> None:
    job = _create(backend, body, config={"lora_dropout": 0.1}, promotion="never", name="my job")

    assert job["status"] == "queued"
    assert job["queue_position"] >= 1
    assert (job["name"], job["promotion"], job["adapter_name"].endswith(job["dataset_name"])) == ("my job", "never", True)
    expected = {"lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.1, "learning_rate": 5e-5, "epochs": 3, "batch_size": 4}
    assert {name: job["config"][name] for name in expected} == expected
    assert (job["model_version_id"], job["started_at"], job["error_message"]) == (None, None, None)
    found = backend.get(f"{JOBS}/{job['id']}").json()
    assert {**found, "queue_position": None} == {**job, "queue_position": None}
    row = backend.in_session(lambda session: session.get_one(TrainingJob, UUID(job["id"])))
    assert row.store_id == store_id(backend.data_dir)


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"config": {"lora_rank": 0}}, 422, "config.lora_rank"),
        ({"config": {"rank": 8}}, 422, "config.rank"),
        ({"config": {"learning_rate": "fast"}}, 422, "config.learning_rate"),
        ({"promotion": "maybe"}, 422, "promotion"),
        ({"adapter_name": "../x"}, 422, "adapter_name"),
        ({"nonsense": 1}, 422, "nonsense"),
        ({"model_id": str(uuid4())}, 404, "model_id"),
        ({"dataset_id": str(uuid4())}, 404, "dataset_id"),
    ],
)
def test_a_bad_request_names_its_field(
    backend: RunningBackend, body: dict[str, Any], change: dict[str, Any], status: int, field: str
) -> None:
    for path in (JOBS, f"{JOBS}/preflight"):
        answer = backend.post(path, {**body, **change})

        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]


def test_a_model_that_is_not_downloaded_is_a_conflict(backend: RunningBackend, body: dict[str, Any]) -> None:
    model = backend.create_model(base_model="org/never-downloaded")

    for path in (JOBS, f"{JOBS}/preflight"):
        answer = backend.post(path, {**body, "model_id": model["id"]})

        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
        assert "download it first" in answer.json()["detail"]


def test_the_same_request_twice_makes_one_job(backend: RunningBackend, body: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}

    answers = [backend.post(JOBS, {**body, "name": "once"}, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert backend.get(JOBS, params={"dataset_id": body["dataset_id"]}).json()["total"] == 1


def test_preflight_tells_lines_steps_and_memory_and_stores_nothing(backend: RunningBackend, body: dict[str, Any]) -> None:
    answer = backend.post(f"{JOBS}/preflight", {**body, "config": {"epochs": 2, "validation_share": 0.0}})

    assert answer.status_code == 200, answer.text
    found = answer.json()
    report = found["report"]
    assert [(problem["line"], problem["code"]) for problem in report["problems"]] == [
        (21, "unknown_format"),
        (22, "empty_content"),
    ]
    assert [warning["lines"] for warning in report["warnings"]] == [[21], [22]]
    assert (report["refusal"], report["is_partial"]) == (None, False)
    assert (report["num_train_rows"], report["steps_per_epoch"], report["num_steps"]) == (20, 5, 10)
    assert 0 < report["total_memory_bytes"] < found["machine_memory_bytes"]
    assert found["base_commit"] == COMMIT
    assert backend.get(JOBS, params={"dataset_id": body["dataset_id"]}).json()["total"] == 0


def test_a_job_goes_through_its_life_and_refuses_what_is_not_its_turn(backend: RunningBackend, body: dict[str, Any]) -> None:
    job = _create(backend, body)
    url = f"{JOBS}/{job['id']}"

    assert backend.request("DELETE", url).status_code == 409
    assert backend.post(f"{url}/resume").status_code == 409
    assert backend.post(f"{url}/extend", {"steps": 5}).status_code == 409
    assert backend.post(f"{url}/cancel").json()["status"] == "cancelled"
    again = backend.post(f"{url}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert (backend.post(f"{url}/resume").json()["attempt"], backend.get(url).json()["status"]) == (1, "queued")
    _set(backend, job, status=JobStatus.RUNNING)
    running = backend.post(f"{url}/cancel").json()
    assert (running["status"], running["is_cancel_requested"]) == ("running", True)
    _set(backend, job, status=JobStatus.COMPLETED, num_steps=10)
    assert backend.post(f"{url}/extend", {"steps": 5}).json()["errors"][0]["field"] == "steps"
    assert backend.post(f"{url}/extend", {"steps": 5, "epochs": 1}).status_code == 422
    assert backend.post(f"{url}/extend", {"steps": 20}).json()["config"]["steps"] == 20
    _set(backend, job, status=JobStatus.FAILED, error_code="nan_loss")
    assert backend.post(f"{url}/retry").json()["error_code"] is None
    _set(backend, job, status=JobStatus.FAILED)
    assert backend.request("DELETE", url).status_code == 204
    for path in ("", "/metrics", "/logs"):
        assert backend.get(url + path).status_code == 404
    for action in ("cancel", "resume", "retry"):
        assert backend.post(f"{url}/{action}").status_code == 404


def test_curves_and_log_are_bounded(backend: RunningBackend, body: dict[str, Any]) -> None:
    job = _create(backend, body)
    job_id = UUID(job["id"])
    run_dir = backend.data_dir / "runs" / job["id"]
    run_dir.mkdir(parents=True)
    (run_dir / "trainer.log").write_text("".join(f"line {number}\n" for number in range(1000)))

    async def add_metrics(session: AsyncSession) -> None:
        session.add_all(Metric(job_id=job_id, name=name, step=step, value=step / 2) for step in range(50) for name in ("a", "b"))

    backend.in_session(add_metrics)
    url = f"{JOBS}/{job['id']}"

    curves = backend.get(f"{url}/metrics", params={"name": "a", "max_points": 10}).json()["series"]

    assert list(curves) == ["a"]
    assert (len(curves["a"]), curves["a"][0]["step"], curves["a"][-1]["value"]) == (10, 0, 24.5)
    assert sorted(backend.get(f"{url}/metrics").json()["series"]) == ["a", "b"]
    assert backend.get(f"{url}/metrics", params={"max_points": 2}).status_code == 422
    assert backend.get(f"{url}/logs", params={"lines": 2}).json() == {"lines": ["line 998", "line 999"]}
    assert len(backend.get(f"{url}/logs").json()["lines"]) == 200


def test_the_list_is_filtered_by_status_model_and_dataset(backend: RunningBackend, body: dict[str, Any]) -> None:
    first, second = _create(backend, body), _create(backend, body)
    backend.post(f"{JOBS}/{first['id']}/cancel")

    def ids(**params: Any) -> list[str]:
        page = backend.get(JOBS, params={"dataset_id": body["dataset_id"], **params}).json()
        assert page["total"] == len(page["items"])
        return [job["id"] for job in page["items"]]

    assert ids() == [second["id"], first["id"]]
    assert ids(status="cancelled") == [first["id"]]
    assert ids(status=["cancelled", "queued"], model_id=body["model_id"]) == [second["id"], first["id"]]
    assert ids(model_id=str(uuid4())) == []
    assert backend.get(JOBS, params={"status": "lost"}).status_code == 422
    assert "preflight" not in backend.get(JOBS).json()["items"][0]


def test_a_model_with_a_waiting_job_is_not_deleted(backend: RunningBackend, body: dict[str, Any]) -> None:
    job = _create(backend, body)

    answer = backend.request("DELETE", f"/api/v1/models/{body['model_id']}")

    assert answer.status_code == 409
    assert job["id"] in answer.json()["detail"]


def test_the_documentation_has_every_setting_with_its_bounds(backend: RunningBackend) -> None:
    schema = backend.get("/openapi.json").json()

    settings = schema["components"]["schemas"]["TrainingCreate"]["properties"]["config"]["properties"]
    assert settings["lora_rank"] == {"type": "integer", "minimum": 1, "maximum": 1024, "default": 16}
    for path, method in (("", "post"), ("/{job_id}/cancel", "post"), ("/{job_id}", "delete")):
        assert {"409", "404"} <= set(schema["paths"][JOBS + path][method]["responses"])
