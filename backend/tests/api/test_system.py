"""`/system` and `/health` tell who does their part; each one that is broken shows, and none of them stops the API."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from fixtures.backend import RunningBackend, run_backend
from fixtures.inference import InferenceStandIn
from fixtures.processes import clean_environment
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import JobStatus, Machine, MirrorState, Outbox
from mlx_hub.services import outbox
from sqlmodel import delete, update
from sqlmodel.ext.asyncio.session import AsyncSession


def _machine(machine_id: str, *, silent_seconds: float) -> Machine:
    return Machine(
        id=machine_id,
        store_id="store",
        hostname="studio",
        device="Apple M4 Max",
        memory_bytes=2**37,
        version="0.1.0",
        heartbeat_at=utc_now() - timedelta(seconds=silent_seconds),
    )


def _add(backend: RunningBackend, *rows: Any) -> None:
    async def add(session: AsyncSession) -> None:
        session.add_all(rows)

    backend.in_session(add)


def _remove_all(backend: RunningBackend) -> None:
    async def remove(session: AsyncSession) -> None:
        for table in (Machine, Outbox, MirrorState):
            await session.exec(delete(table))

    backend.in_session(remove)


def _failed(backend: RunningBackend) -> dict[str, str]:
    """Details of what is not well, by name."""
    health = backend.get("/health")
    assert health.status_code == 200
    failed = {name: check["detail"] for name, check in health.json()["checks"].items() if not check["ok"]}
    assert health.json()["status"] == ("degraded" if failed else "ok")
    assert backend.get("/health/ready").json()["ready"]
    return failed


def test_machines_are_alive_or_were_last_seen(backend: RunningBackend) -> None:
    _remove_all(backend)
    _add(backend, _machine("alive", silent_seconds=1), _machine("dead", silent_seconds=3600))

    system = backend.get("/api/v1/system").json()

    alive, dead = system["machines"]
    assert (alive["id"], alive["is_alive"], alive["device"], alive["memory_bytes"]) == ("alive", True, "Apple M4 Max", 2**37)
    assert (dead["id"], dead["is_alive"]) == ("dead", False)
    assert dead["last_seen_at"] < alive["last_seen_at"]
    assert "mlx_hub_machines_alive 1.0" in backend.get("/metrics").text


def test_the_host_and_its_cache_are_measured(backend: RunningBackend) -> None:
    system = backend.get("/api/v1/system").json()

    host, cache = system["host"], system["model_cache"]
    assert 0 < host["memory_available_bytes"] < host["memory_total_bytes"]
    assert 0 < host["disk_free_bytes"] < host["disk_total_bytes"]
    assert 0 <= host["cpu_percent"] <= 100
    assert (cache["num_bytes"], cache["num_models"], cache["max_bytes"]) == (0, 0, 50 * 10**9)
    assert cache["free_disk_bytes"] > 0
    assert system["version"]


def test_a_worker_that_is_gone_shows_in_health(backend: RunningBackend) -> None:
    _remove_all(backend)
    assert "none was ever seen" in _failed(backend)["worker"]
    _add(backend, _machine("dead", silent_seconds=3600))
    assert "the last was seen" in _failed(backend)["worker"]

    _add(backend, _machine("alive", silent_seconds=0))
    assert _failed(backend) == {}


def test_an_inference_server_that_fails_shows_in_health(backend: RunningBackend, inference: InferenceStandIn) -> None:
    _remove_all(backend)
    _add(backend, _machine("alive", silent_seconds=0))
    inference.is_failing = True
    try:
        assert list(_failed(backend)) == ["inference"]
        state = backend.get("/api/v1/system").json()["inference"]
        assert (state["is_reachable"], state["detail"]) == (True, "The inference server refused: The engine is down.")
    finally:
        inference.is_failing = False
    assert backend.get("/api/v1/system").json()["inference"]["detail"] is None


def test_mlflow_that_is_behind_shows_in_health_and_says_why(backend: RunningBackend) -> None:
    _remove_all(backend)
    _add(backend, _machine("alive", silent_seconds=0))

    async def fall_behind(session: AsyncSession) -> None:
        outbox.end_run(session, uuid4(), JobStatus.COMPLETED)
        outbox.end_run(session, uuid4(), JobStatus.COMPLETED)
        session.add(MirrorState(name="mlflow", holder="w", lease_until=utc_now(), uri="http://mlflow:5001", error="refused"))

    backend.in_session(fall_behind)
    assert _failed(backend) == {}
    before = backend.get("/api/v1/system").json()["mlflow"]
    assert (before["uri"], before["num_pending_rows"], before["error"]) == ("http://mlflow:5001", 2, "refused")
    assert 0 < before["seconds_behind"] < 60

    async def age(session: AsyncSession) -> None:
        await session.exec(update(Outbox).values(created_at=utc_now() - timedelta(minutes=3)))

    backend.in_session(age)
    (detail,) = _failed(backend).values()
    assert detail.startswith("2 updates wait, for 18")
    assert "refused" in detail
    assert "mlx_hub_mlflow_pending_rows 2.0" in backend.get("/metrics").text
    _remove_all(backend)


def test_an_inference_server_that_is_dead_and_a_password_of_mlflow(tmp_path: Path) -> None:
    with run_backend(
        tmp_path,
        f"sqlite:///{tmp_path}/hub.db",
        MLX_HUB_INFERENCE_URL="http://127.0.0.1:9",
        MLFLOW_TRACKING_URI="http://user:s3cr3t@mlflow:5001",
    ) as backend:
        answer = backend.get("/api/v1/system")
        assert not answer.json()["inference"]["is_reachable"]
        assert answer.json()["mlflow"]["uri"] == "http://mlflow:5001"
        assert "s3cr3t" not in answer.text + backend.get("/health").text
        assert set(_failed(backend)) == {"worker", "inference"}


def test_the_api_imports_neither_mlflow_nor_the_workflow_engine(tmp_path: Path) -> None:
    """Each would cost it seconds and hundreds of megabytes."""
    script = "import sys, mlx_hub.app; print([name for name in ('mlflow', 'dbos', 'mlx') if name in sys.modules])"
    environment = clean_environment(HOME=str(tmp_path))

    output = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert output.stdout.strip() == "[]"
