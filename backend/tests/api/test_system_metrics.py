"""Fifteen minutes of figures as a dashboard reads them: machine, process, sensors, trainers."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.databases import NewDatabase
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import JobStatus, Metric, TrainingJob
from sqlmodel import delete
from sqlmodel.ext.asyncio.session import AsyncSession

METRICS = "/api/v1/system/metrics"
SERIES = ("host_series", "process_series", "accelerator_series", "training_series")


def metrics(backend: RunningBackend, since: float | None = None) -> dict[str, Any]:
    answer = backend.get(METRICS, params={} if since is None else {"since": since})
    assert answer.status_code == 200, answer.text
    return answer.json()


def newest(body: dict[str, Any], series: str, name: str) -> Any:
    return body[series][name][-1] if body["times"] else None


def events_of(backend: RunningBackend, job_id: UUID) -> list[tuple[str, str]]:
    return [(event["kind"], event["detail"]) for event in metrics(backend)["events"] if event["subject"] == str(job_id)]


def add_job(backend: RunningBackend, **values: Any) -> UUID:
    return backend.add(TrainingJob(store_id="store", adapter_name="adapter", model_id=None, dataset_id=None, **values))


def end_job(backend: RunningBackend, job_id: UUID, status: JobStatus) -> None:
    async def end(session: AsyncSession) -> None:
        job = await session.get_one(TrainingJob, job_id)
        job.status, job.completed_at = status, utc_now()

    backend.in_session(end)


@pytest.fixture(autouse=True)
def no_jobs_left(backend: RunningBackend) -> Iterator[None]:
    yield

    async def remove(session: AsyncSession) -> None:
        await session.exec(delete(TrainingJob))

    backend.in_session(remove)


def test_a_sample_a_second_in_columns_of_one_length(backend: RunningBackend) -> None:
    backend.wait_until(lambda: newest(metrics(backend), "host_series", "cpu_percent") is not None, 30)
    backend.wait_until(lambda: newest(metrics(backend), "training_series", "running_jobs") is not None, 30)
    body = metrics(backend)

    times = body["times"]
    assert times == sorted(times)
    assert all(len(values) == len(times) for series in SERIES for values in body[series].values())
    assert 0 < newest(body, "host_series", "memory_used_bytes") < body["host"]["memory_total_bytes"]
    assert 0 < newest(body, "host_series", "disk_free_bytes") < body["host"]["disk_total_bytes"]
    assert newest(body, "process_series", "memory_bytes") > 2**20
    told = any(value is not None for value in body["accelerator_series"]["utilization_percent"])
    assert told == (body["accelerator"]["reason"] is None)


def test_only_what_came_later_is_told_again(backend: RunningBackend) -> None:
    backend.wait_until(lambda: bool(metrics(backend)["times"]), 30)
    last = metrics(backend)["times"][-1]

    backend.wait_until(lambda: bool(metrics(backend, last)["times"]), 30)

    assert all(at > last for at in metrics(backend, last)["times"])
    assert metrics(backend, time.time() + 3600)["times"] == []
    assert backend.get(METRICS, params={"since": -1}).status_code == 422
    assert backend.get(METRICS, params={"since": "nan"}).status_code == 422


def test_a_running_job_shows_with_its_figures_and_its_end_is_marked(backend: RunningBackend) -> None:
    job_id = add_job(backend, name="night run", status=JobStatus.RUNNING, phase="training", started_at=utc_now())

    async def add_metrics(session: AsyncSession) -> None:
        for step, loss in enumerate((3.5, 2.25), 1):
            values = {"train_loss": loss, "tokens_per_second": 100.0 * step, "peak_memory_bytes": 2.0**30}
            session.add_all(Metric(job_id=job_id, name=name, step=step, value=value) for name, value in values.items())

    backend.in_session(add_metrics)
    backend.wait_until(lambda: newest(metrics(backend), "training_series", "train_loss") == 2.25, 30)
    body = metrics(backend)
    assert newest(body, "training_series", "job_id") == str(job_id)
    assert newest(body, "training_series", "running_jobs") == 1
    assert newest(body, "training_series", "tokens_per_second") == 200
    assert newest(body, "accelerator_series", "mlx_peak_bytes") == 2**30

    end_job(backend, job_id, JobStatus.FAILED)

    backend.wait_until(lambda: len(events_of(backend, job_id)) == 2, 30)
    assert events_of(backend, job_id) == [("job_started", "night run"), ("job_failed", "night run")]
    backend.wait_until(lambda: newest(metrics(backend), "training_series", "running_jobs") == 0, 30)
    assert newest(metrics(backend), "training_series", "train_loss") is None


def test_a_backend_that_starts_knows_what_its_forerunner_saw(tmp_path: Path, new_database: NewDatabase) -> None:
    database_url = new_database("sqlite", tmp_path)
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    with run_backend(tmp_path / "home", database_url, PATH=path) as backend:
        began, ended = utc_now() - timedelta(minutes=5), utc_now() - timedelta(minutes=2)
        recent = add_job(backend, name="a", status=JobStatus.COMPLETED, started_at=began, completed_at=ended)
        old = add_job(backend, name="b", status=JobStatus.COMPLETED, started_at=began, completed_at=began - timedelta(hours=1))
        backend.stop()
    with run_backend(tmp_path / "home", database_url, PATH=path) as backend:
        backend.wait_until(lambda: len(events_of(backend, recent)) == 2, 30)
        events = metrics(backend)["events"]

        assert [event["at"] for event in events] == [began.timestamp(), ended.timestamp()]
        assert events_of(backend, old) == []

        # A sensor that hangs leaves everything else as it is.
        backend.wait_until(lambda: len(metrics(backend)["times"]) > 3, 30)
        body = metrics(backend)
        assert set(body["accelerator_series"]["utilization_percent"]) == {None}
        assert "nvidia-smi" in body["accelerator"]["reason"]
        assert newest(body, "host_series", "memory_used_bytes") > 0
