"""`/health/deep` and `/health/startup`: each thing that the backend stands on is broken in turn, alone."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.databases import NewDatabase
from fixtures.frozen import frozen, postgres_process, processes_of
from fixtures.inference_server import InferenceServer, run_inference_server
from fixtures.mlflow import MlflowServer, Wire
from fixtures.worker import RunningWorker, run_worker

pytestmark = pytest.mark.timeout(300)

MAX_SECONDS = 8.0
"""The deadline of a check is 2 s; the rest is for a busy machine."""
_NUM_TRIES = 3
"""A busy machine may be late once; what waits for something that hangs is so each time."""
CHECKS = {"accepting", "database", "storage", "disk", "memory", "accelerator", "worker", "inference", "mlflow", "mirror"}


@dataclass
class Standing:
    """A backend with everything that it stands on, all real; two of them behind wires."""

    backend: RunningBackend
    worker: RunningWorker
    inference: Wire
    mlflow: Wire


def deep(backend: RunningBackend) -> tuple[int, dict[str, Any]]:
    """Status and answer, which comes in time whatever hangs."""
    for _ in range(_NUM_TRIES):
        started = time.monotonic()
        answer = backend.get("/health/deep")
        if time.monotonic() - started < MAX_SECONDS:
            return answer.status_code, answer.json()
    raise AssertionError(f"it comes late again and again: {answer.text}")


def broken(backend: RunningBackend) -> set[str]:
    return {name for name, check in deep(backend)[1]["checks"].items() if check["status"] in {"warning", "failed"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServer]:
    with run_inference_server(tmp_path_factory.mktemp("inference")) as running:
        yield running


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase, served: InferenceServer, mlflow_server: MlflowServer
) -> Iterator[Standing]:
    home = tmp_path_factory.mktemp("standing")
    url = new_database("postgresql", home)
    mlflow_server.start()
    inference, mlflow = Wire(urlsplit(served.base_url).port or 0), Wire(mlflow_server.port)
    variables = {"MLX_HUB_LEASE_SECONDS": "5", "MLX_HUB_INFERENCE_URL": inference.uri, "MLFLOW_TRACKING_URI": mlflow.uri}
    try:
        with run_backend(home, url, **variables) as backend, run_worker(home, url, **variables) as worker:
            yield Standing(backend, worker, inference, mlflow)
    finally:
        inference.close()
        mlflow.close()


@contextmanager
def _silent(wire: Wire) -> Iterator[None]:
    wire.is_black_hole = True
    try:
        yield
    finally:
        wire.is_black_hole = False


@contextmanager
def _without_cache_folder(backend: RunningBackend) -> Iterator[None]:
    folder = backend.home / "cache"
    shutil.rmtree(folder)
    folder.write_text("no folder")
    try:
        yield
    finally:
        folder.unlink()


def _database_of(backend: RunningBackend) -> list[int]:
    return processes_of(postgres_process(urlsplit(backend.database_url).port or 0))


BREAKS: dict[str, Callable[[Standing], AbstractContextManager[None]]] = {
    "database": lambda it: frozen(_database_of(it.backend)),
    "storage": lambda it: _without_cache_folder(it.backend),
    "worker": lambda it: frozen([it.worker.process.pid]),
    "inference": lambda it: _silent(it.inference),
    "mlflow": lambda it: _silent(it.mlflow),
}
DECIDE_READY = {"accepting", "database", "storage", "disk"}


@pytest.mark.parametrize("name", BREAKS)
def test_what_hangs_or_is_gone_shows_in_its_own_field_and_in_no_other(standing: Standing, name: str) -> None:
    backend = standing.backend
    backend.wait_until(lambda: broken(backend) == set(), 60)

    with BREAKS[name](standing):
        backend.wait_until(lambda: broken(backend) == {name}, 60)
        status, answer = deep(backend)
        started = time.monotonic()
        ready = backend.get("/health/ready")
        others = [backend.get(path).status_code for path in ("/health", "/health/live", "/health/startup", "/metrics")]
        seconds = time.monotonic() - started

    assert answer["checks"].keys() == CHECKS
    assert answer["checks"][name]["message"]
    assert answer["checks"][name]["decides_ready"] == (name in DECIDE_READY)
    assert (status, ready.status_code) == ((503, 503) if name in DECIDE_READY else (200, 200))
    assert answer["status"] == ("failing" if name in DECIDE_READY else "degraded")
    assert others == [200] * len(others)
    assert seconds < 4 * MAX_SECONDS
    backend.wait_until(lambda: broken(backend) == set(), 60)


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("disk", {"MLX_HUB_MIN_FREE_DISK": "1000000TB"}),
        ("memory", {"MLX_HUB_MIN_FREE_MEMORY": "1000000TB"}),
        ("accelerator", {"PATH": "{programs}:/usr/bin:/bin"}),
    ],
)
def test_a_machine_that_runs_short_shows_in_its_own_field(tmp_path: Path, name: str, variables: dict[str, str]) -> None:
    sensor = tmp_path / "programs" / "nvidia-smi"
    sensor.parent.mkdir()
    sensor.write_text("#!/bin/sh\nexit 9\n")
    sensor.chmod(0o755)
    given = {key: value.format(programs=sensor.parent) for key, value in variables.items()}
    own = {"accepting", "database", "storage", "disk", "memory", "accelerator"}

    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db", waits_for="/health/startup", **given) as backend:
        backend.wait_until(lambda: broken(backend) & own == {name}, 60)
        status, answer = deep(backend)

    assert status == (503 if name == "disk" else 200)
    assert answer["checks"][name]["message"]


def test_a_database_whose_lock_somebody_keeps_is_told_and_reads_go_on(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend:
        assert "database" not in broken(backend)
        with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            check = deep(backend)[1]["checks"]["database"]

            assert check["status"] == "warning"
            assert "lsof" in check["message"]
            assert backend.get("/health/ready").status_code == 200
        assert "database" not in broken(backend)


def test_a_local_store_of_mlflow_that_is_damaged_is_told(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend:
        assert "mlflow" not in broken(backend)
        (backend.data_dir / "mlflow").mkdir(exist_ok=True)
        (backend.data_dir / "mlflow" / "mlflow.db").write_bytes(b"no database " * 1000)

        assert "mlflow" in broken(backend)


def test_a_backend_that_hangs_on_its_database_still_stops(tmp_path: Path, new_database: NewDatabase) -> None:
    with run_backend(tmp_path, new_database("postgresql", tmp_path)) as backend, frozen(_database_of(backend)):
        assert "database" in broken(backend)

        assert backend.stop() == 0
