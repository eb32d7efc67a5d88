"""`mlx-hub status`, `doctor`, `start` and `worker`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.backend import RunningBackend
from fixtures.inference_server import InferenceServer
from fixtures.processes import free_port
from fixtures.terminal import CommandLine
from fixtures.worker import RunningWorker

ROOT = Path(__file__).parents[3]


def test_status_shows_both_services_and_the_worker(hub_cli: CommandLine, worker: RunningWorker) -> None:
    done = hub_cli.run("status")
    answer = hub_cli.run("status", "--json").json()

    assert done.status == 0
    assert worker.machine_id in done.out
    assert "model cache" in done.out
    assert (answer["backend"]["ready"], answer["inference"]["ready"]) == (True, True)
    assert [machine["id"] for machine in answer["backend"]["system"]["machines"]] == [worker.machine_id]


def test_status_is_3_when_a_service_is_down_and_shows_the_other(hub_cli: CommandLine) -> None:
    done = hub_cli.run("status", "--url", "http://127.0.0.1:1")

    assert done.status == 3
    assert "down · The backend at http://127.0.0.1:1 does not answer." in done.out
    assert f"ready · {hub_cli.inference_url}" in done.out


def _free_ports() -> dict[str, str]:
    """For the processes of the platform that these tests do not start."""
    return {name: str(free_port()) for name in ("MLX_DASHBOARD_PORT", "MLFLOW_PORT", "MLX_HUB_WORKER_METRICS_PORT")}


def test_doctor_finds_everything_well(hub_cli: CommandLine, worker: RunningWorker) -> None:
    done = hub_cli.run("doctor", DATABASE_URL=f"sqlite:///{hub_cli.home}/hub.db", **_free_ports())

    assert done.status == 0, done.out
    found = [line.split()[1] for line in done.out.splitlines() if line[0] in "✓!"]
    own = ["Python", "MLX", "folder", "folder", "database", "permissions", "hub", "port", "port", "port", "prompt"]
    assert found == [*own, "backend", "inference", "versions", "worker", "MLflow"]
    assert worker.machine_id in done.out


def test_doctor_says_what_to_do_about_what_is_missing(lonely_cli: CommandLine) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/none"
    done = lonely_cli.run("doctor", "--json", DATABASE_URL=url, **_free_ports())

    assert done.status == 1
    assert "secret" not in done.out
    bad = {finding["name"]: finding for finding in json.loads(done.out) if finding["state"] == "bad"}
    assert bad.keys() == {"database", "backend", "inference server"}
    assert "docker compose up" in bad["database"]["remedy"]
    assert "the port is free" in bad["backend"]["found"]
    assert "make start" in bad["backend"]["remedy"]


def test_doctor_names_a_wrong_variable(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("doctor", MODEL_CACHE_MAX_SIZE="plenty")

    assert done.status == 1
    assert "MODEL_CACHE_MAX_SIZE" in done.out


def test_doctor_tells_a_port_that_another_program_has(lonely_cli: CommandLine, served: InferenceServer) -> None:
    done = lonely_cli.run("doctor", "--url", f"{served.base_url}/docs")

    assert "Another program listens there" in done.out


def test_start_runs_make_start_of_the_checkout(lonely_cli: CommandLine, tmp_path: Path) -> None:
    done = lonely_cli.run_process("start", PATH=_path_with_make(tmp_path))

    assert (done.status, done.out) == (7, f"-C {ROOT} --no-print-directory start\n")


def test_start_outside_a_checkout_says_what_to_run(lonely_cli: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "backend/src/mlx_hub", tmp_path / "mlx_hub", ignore=shutil.ignore_patterns("__pycache__"))

    # A `make` that must not be called, should the copy not be the one that is imported.
    done = lonely_cli.run_process("start", PYTHONPATH=str(tmp_path), PATH=_path_with_make(tmp_path))

    assert (done.status, done.out) == (1, "")
    assert "python -m mlx_hub.main" in done.err


def _path_with_make(folder: Path) -> str:
    """A PATH with a `make` that prints its arguments and ends with 7, and nothing else."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "make").write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    (programs / "make").chmod(0o755)
    return str(programs)


def test_worker_becomes_the_worker_process(hub_cli: CommandLine, registry: RunningBackend, tmp_path: Path) -> None:
    variables = {"MLX_HUB_DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": f"sqlite:///{tmp_path}/hub.db"}
    command = [sys.executable, "-m", "mlx_hub.cli", "worker"]

    environment = hub_cli.environment(MLX_HUB_MACHINE_ID="by-hand", **variables)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
        assert process.stdout is not None
        announced = next((line for line in process.stdout if line.startswith("Worker")), "")
        process.terminate()
        status = process.wait(30)

    assert registry.process.poll() is None
    assert announced.startswith("Worker         by-hand")
    assert status == 0


@pytest.mark.parametrize("name", ["mlx_hub.cli", "mlx_hub.cli.doctor_probe"])
def test_modules_that_are_run_do_nothing_on_import(name: str) -> None:
    assert subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, check=False).stdout == b""
