"""`make start` with the real services is told to stop while it answers and trains: nothing is lost, and the status is 0."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from e2e.stack import CONFIG, ROWS
from fixtures.processes import clean_environment, free_port, is_up, wait_until
from fixtures.terminal import CommandLine
from mlx_hub.core.checkpoints import newest_checkpoint
from mlx_hub.core.run_files import is_running, read_exit, read_heartbeat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
DEMO_MODEL = ROOT / "inference-server/src/unified_mlx_app/demo_model"
MAX_STOP_SECONDS = 30.0


class Stream(threading.Thread):
    """Reads one long streamed answer to its end."""

    def __init__(self, base_url: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{base_url}/v1/chat/completions"
        self.frames: list[str] = []
        self.start()

    def run(self) -> None:
        messages = [{"role": "user", "content": "Count to 40"}]
        body = {"messages": messages, "max_tokens": 1500, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", self._url, json=body, timeout=120) as response:
            self.frames.extend(line.removeprefix("data: ") for line in response.iter_lines() if line)


class Watch(threading.Thread):
    """Every status of a readiness route, until nobody answers any more."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.statuses: list[int] = []
        self.start()

    def run(self) -> None:
        with suppress(httpx.TransportError):
            while True:
                self.statuses.append(httpx.get(self._url, timeout=10).status_code)
                time.sleep(0.02)


@contextmanager
def _make_start(home: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """What `make start` runs after the setup, without MLflow and the dashboard."""
    wanted = ("backend:", "worker:", "inference:")
    procfile = home / "Procfile"
    procfile.write_text("".join(f"{line}\n" for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith(wanted)))
    command = [ROOT / ".tools/bin/python", ROOT / "scripts/start.py", "--procfile", procfile]
    environment = clean_environment(HOME=str(home), MLFLOW_TRACKING_URI="http://127.0.0.1:1", **variables)
    with (home / "platform.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            process.kill()
            process.wait(30)


def test_make_start_that_answers_and_trains_stops_cleanly_and_goes_on_later(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("MLX_API_PORT", "MLX_HUB_PORT", "MLX_HUB_WORKER_METRICS_PORT")}
    inference, backend = (f"http://127.0.0.1:{ports[name]}" for name in ("MLX_API_PORT", "MLX_HUB_PORT"))
    variables = {"MLX_TEXT_MODEL": str(DEMO_MODEL), "MLX_TEMPERATURE": "0", **ports}
    log = tmp_path / "platform.log"
    with _make_start(tmp_path, **variables) as process:
        for url in (inference, backend):
            wait_until(lambda url=url: is_up(f"{url}/health/ready") or process.poll() is not None, 120, hint=log.read_text)
        job_id = _train(CommandLine(backend, inference, str(tmp_path)), backend)
        run_dir = tmp_path / ".mlx-hub/runs" / job_id
        stream, watch = Stream(inference), Watch(f"{inference}/health/ready")
        wait_until(lambda: len(stream.frames) > 3, 60, hint=log.read_text)

        process.terminate()
        asked_at = time.monotonic()
        status = process.wait(60)

        assert (status, time.monotonic() - asked_at < MAX_STOP_SECONDS) == (0, True), log.read_text()[-3000:]
        stream.join(60)
        watch.join(60)
        assert stream.frames[-1] == "[DONE]"
        assert [watch.statuses[0], watch.statuses[-1]] == [200, 503]
        assert "Traceback" not in log.read_text()
    _stop_trainer(run_dir)


def _train(cli: CommandLine, backend: str) -> str:
    """The id of a job that has made its first steps."""
    (Path(cli.home) / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS * 4))
    for arguments in (
        ["models", "add", str(DEMO_MODEL), "--name", "demo"],
        ["datasets", "add", f"{cli.home}/facts.jsonl"],
    ):
        done = cli.run_process(*arguments)
        assert done.status == 0, done.err
    (model,) = httpx.get(f"{backend}/api/v1/models").json()["items"]
    (dataset,) = httpx.get(f"{backend}/api/v1/datasets").json()["items"]
    config = {**CONFIG, "epochs": 5000, "save_every": 100_000}
    body = {"model_id": model["id"], "dataset_id": dataset["id"], "config": config, "adapter_name": "vault"}
    job = httpx.post(f"{backend}/api/v1/training", json=body, timeout=30)
    assert job.status_code == 201, job.text
    path = f"{backend}/api/v1/training/{job.json()['id']}"
    wait_until(lambda: httpx.get(path, timeout=30).json()["step"] > 5, 180, hint=lambda: httpx.get(path, timeout=30).text)
    return job.json()["id"]


def _stop_trainer(run_dir: Path) -> None:
    """It has outlived the worker, and saves its step when it is asked to stop itself."""
    beat = read_heartbeat(run_dir)
    assert beat is not None
    assert is_running(beat)
    trainer = psutil.Process(beat.pid)
    asked_at = time.monotonic()
    trainer.terminate()
    wait_until(lambda: not is_running(beat), 60)
    report, found = read_exit(run_dir), newest_checkpoint(run_dir)

    assert time.monotonic() - asked_at < MAX_STOP_SECONDS
    assert report is not None
    assert found is not None
    assert found[1].progress.step == report.step > 5
