"""Health, metrics and documentation; each thing that the service stands on is broken in turn."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.processes import free_port


def test_a_healthy_backend_says_so(backend: RunningBackend) -> None:
    checks = backend.get("/health").json()["checks"]
    assert checks.keys() == {"accepting", "database", "storage", "disk", "worker", "inference", "mlflow"}
    assert backend.get("/health/live").json() == {"status": "alive"}
    ready = backend.get("/health/ready")
    assert ready.status_code == 200
    assert {name: check["ok"] for name, check in ready.json()["checks"].items()} == {
        "accepting": True,
        "database": True,
        "storage": True,
        "disk": True,
    }


def _failed_checks(backend: RunningBackend) -> list[str]:
    ready = backend.get("/health/ready")
    assert ready.status_code == 503
    assert not ready.json()["ready"]
    return [name for name, check in ready.json()["checks"].items() if not check["ok"] and check["detail"]]


def test_storage_that_is_gone_is_told(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        (tmp_path / "cache").write_text("no folder")

        assert _failed_checks(backend) == ["storage"]
        assert backend.get("/health").json()["status"] == "degraded"
        (tmp_path / "cache").unlink()
        assert backend.get("/health/ready").status_code == 200


class _Door:
    """A TCP door before a server that can be closed: what connected is cut, what comes is refused."""

    def __init__(self, port: int) -> None:
        script = (
            "import asyncio, sys\n"
            "async def pump(r, w):\n"
            "    while data := await r.read(65536):\n        w.write(data); await w.drain()\n    w.close()\n"
            "async def on(r, w):\n"
            f"    r2, w2 = await asyncio.open_connection('127.0.0.1', {port})\n"
            "    await asyncio.gather(pump(r, w2), pump(r2, w))\n"
            "async def main():\n"
            "    server = await asyncio.start_server(on, '127.0.0.1', 0)\n"
            "    print(server.sockets[0].getsockname()[1], flush=True)\n    await server.serve_forever()\n"
            "asyncio.run(main())\n"
        )
        self._process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_database_that_is_gone_is_told_and_metrics_stay_readable(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    plain = httpx.URL(request.getfixturevalue("postgres_database")())
    door = _Door(plain.port or 0)
    try:
        with run_backend(tmp_path, str(plain.copy_with(port=door.port))) as backend:
            door.close()

            assert _failed_checks(backend) == ["database"]
            listing = backend.get("/api/v1/models")
            assert (listing.status_code, listing.json()["code"]) == (503, "unavailable")
            assert listing.headers["retry-after"]
            assert "postgres" not in listing.text
            assert backend.get("/health/live").status_code == 200
            assert "mlx_hub_database_up 0.0" in backend.get("/metrics").text
    finally:
        door.close()


def test_metrics_count_requests_by_route_and_rows_by_state(backend: RunningBackend) -> None:
    model = backend.create_model()
    backend.get(f"/api/v1/models/{model['id']}")
    backend.get("/api/v1/nothing")

    text = backend.get("/metrics").text

    assert re.search(r'mlx_hub_http_requests_total{method="GET",route="/api/v1/models/{model_id}",status="200"} \d', text)
    assert re.search(r'mlx_hub_http_requests_total{method="GET",route="unmatched",status="404"} \d', text)
    assert re.search(r'mlx_hub_http_request_duration_seconds_count{route="/api/v1/models"} \d', text)
    assert re.search(r'mlx_hub_rows{state="base",table="registered_model"} [1-9]', text)
    assert "mlx_hub_database_up 1.0" in text
    assert model["id"] not in text


def test_the_documentation_needs_nothing_from_elsewhere(backend: RunningBackend) -> None:
    files = re.findall(r'(?:src|href)="([^"]+)"', backend.get("/docs").text)

    assert len(files) >= 3
    assert [backend.get(file).status_code for file in files] == [200] * len(files)


def test_the_documentation_lists_every_route_with_its_errors(backend: RunningBackend) -> None:
    page, schema = backend.get("/docs"), backend.get("/openapi.json").json()

    assert page.status_code == 200
    assert "/openapi.json" in page.text
    operations: dict[str, Any] = {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert {"GET /api/v1/models", "POST /api/v1/models", "PATCH /api/v1/models/{model_id}", "GET /health/ready"} <= set(
        operations
    )
    assert all(operation["summary"] and operation["description"] for operation in operations.values())
    assert set(operations["DELETE /api/v1/models/{model_id}"]["responses"]["409"]["content"]) == {"application/problem+json"}
    assert "HTTPValidationError" not in schema["components"]["schemas"]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_0(tmp_path: Path, sig: int) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend:
        backend.create_model("kept")
        assert backend.stop(sig) == 0
        assert "server_stopped" in backend.log()

    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as again:
        assert [model["name"] for model in again.get("/api/v1/models").json()["items"]] == ["kept"]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [("MLX_HUB_PORT", "nine", "MLX_HUB_PORT"), ("MODEL_CACHE_MAX_SIZE", "50 apples", "MODEL_CACHE_MAX_SIZE")],
)
def test_a_bad_setting_stops_the_start_with_its_name(tmp_path: Path, variable: str, value: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlx_hub.main"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin", variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_uvicorn_finds_the_application(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "mlx_hub.main:app", "--port", str(port)]
    process = subprocess.Popen(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin"}, stderr=subprocess.DEVNULL)
    probing = RunningBackend(process, tmp_path, "", f"http://127.0.0.1:{port}")
    (tmp_path / "server.log").touch()
    try:
        probing.wait_until(lambda: _answers(probing), 60)
        assert (tmp_path / ".mlx-hub" / "mlx-hub.db").exists()
    finally:
        process.terminate()
        process.wait(60)


def _answers(backend: RunningBackend) -> bool:
    try:
        return backend.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
