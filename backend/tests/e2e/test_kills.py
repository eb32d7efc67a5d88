"""Kills of the API, the worker and the trainer, in turn and together: the job ends with the weights of an undisturbed one."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from e2e.stack import Platform, run_platform
from fixtures.backend import run_backend
from fixtures.hub import Hub
from fixtures.worker import run_worker
from mlx_hub.core.run_files import is_running, read_heartbeat

SETTINGS: dict[str, Any] = {"steps": 60, "save_every": 5, "lora_dropout": 0.1, "schedule": "cosine", "validation_share": 0.2}
_SECONDS = 240.0


class Disturber:
    """Kills parts of a platform with signal 9 and starts them again; what it started ends with it."""

    def __init__(self, platform: Platform, running: ExitStack) -> None:
        self.platform = platform
        self._running = running
        self.num_kills = 0

    def kill(self, parts: list[str], job_id: str) -> None:
        for part in parts:
            self.num_kills += self._kill(part, job_id)
        if "api" in parts:
            self.platform.backend = self._running.enter_context(self._start(run_backend))
        if "worker" in parts:
            self.platform.worker = self._running.enter_context(self._start(run_worker))

    def _start(self, run: Callable[..., Any]) -> Any:
        return run(self.platform.home, self.platform.database_url, **self.platform.variables)

    def _kill(self, part: str, job_id: str) -> bool:
        match part:
            case "api":
                self.platform.backend.stop(signal.SIGKILL)
            case "worker":
                self.platform.worker.kill()
            case _:
                beat = read_heartbeat(self.platform.home / "data" / "runs" / job_id)
                if beat is None or not is_running(beat):
                    return False
                with suppress(ProcessLookupError):
                    os.kill(beat.pid, signal.SIGKILL)
        return True


def _progress(platform: Platform, job_id: str) -> int:
    beat = read_heartbeat(platform.home / "data" / "runs" / job_id)
    return beat.step if beat else 0


def _wait_for_step(platform: Platform, job_id: str, step: int) -> None:
    """Until the trainer is there, or the job has gone beyond training."""
    deadline = time.monotonic() + _SECONDS
    while _progress(platform, job_id) < step:
        with suppress(httpx.TransportError):
            row = platform.get(f"/training/{job_id}")
            if row["status"] != "queued" and row["phase"] not in ("preparing", "training"):
                return
        assert time.monotonic() < deadline, platform.worker.log()[-4000:]
        time.sleep(0.05)


def _weights(platform: Platform, job_id: str) -> bytes:
    return (platform.home / "data" / "runs" / job_id / "adapter" / "adapters.safetensors").read_bytes()


def _completed(platform: Platform, job_id: str) -> dict[str, Any]:
    return platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed", _SECONDS)


def _check_nothing_is_lost(platform: Platform, job: dict[str, Any], undisturbed: str) -> None:
    series = platform.get(f"/training/{job['id']}/metrics?name=train_loss&max_points=5000")["series"]["train_loss"]
    expected = platform.get(f"/training/{undisturbed}/metrics?name=train_loss&max_points=5000")["series"]["train_loss"]
    assert [(point["step"], point["value"]) for point in series] == [(point["step"], point["value"]) for point in expected]
    assert _weights(platform, job["id"]) == _weights(platform, undisturbed)
    versions = platform.get(f"/models/{_adapter_id(platform, job)}/versions")["items"]
    assert [version["id"] for version in versions].count(job["model_version_id"]) == 1


def _adapter_id(platform: Platform, job: dict[str, Any]) -> str:
    (adapter,) = platform.get(f"/models?query={job['adapter_name']}")["items"]
    return adapter["id"]


@pytest.mark.timeout(600)
def test_a_job_survives_kills_of_everything_with_the_same_weights_and_one_version(
    tmp_path: Path, hub: Hub, database_url: str
) -> None:
    with run_platform(tmp_path, database_url, hub) as platform, ExitStack() as running:
        model_id, dataset_id = platform.download(), platform.upload()
        undisturbed = platform.train(model_id, dataset_id, **SETTINGS)
        _completed(platform, undisturbed)
        disturber = Disturber(platform, running)

        job_id = platform.train(model_id, dataset_id, **SETTINGS)
        for step, parts in ((3, ["worker"]), (12, ["trainer"]), (21, ["api"]), (33, ["api", "worker", "trainer"])):
            _wait_for_step(platform, job_id, step)
            disturber.kill(parts, job_id)

        job = _completed(platform, job_id)
        assert disturber.num_kills >= 5
        _check_nothing_is_lost(platform, job, undisturbed)
        assert len(platform.get(f"/models/{_adapter_id(platform, job)}/versions")["items"]) == 2


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_jobs_survive_fifty_kills_at_random_moments(tmp_path: Path, hub: Hub, database_url: str) -> None:
    random = Random(7)
    with run_platform(tmp_path, database_url, hub) as platform, ExitStack() as running:
        model_id, dataset_id = platform.download(), platform.upload()
        undisturbed = platform.train(model_id, dataset_id, **SETTINGS)
        _completed(platform, undisturbed)
        disturber = Disturber(platform, running)
        while disturber.num_kills < 50:
            job_id = platform.train(model_id, dataset_id, **SETTINGS)
            for step in sorted(random.sample(range(60), 4)):
                _wait_for_step(platform, job_id, step)
                time.sleep(random.uniform(0, 1.5))
                parts = random.choice([["worker"], ["trainer"], ["api"], ["worker", "trainer"], ["api", "worker", "trainer"]])
                disturber.kill(parts, job_id)
            _check_nothing_is_lost(platform, _completed(platform, job_id), undisturbed)
