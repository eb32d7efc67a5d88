"""Secrets planted in every place where the real services get some: none of them comes out again anywhere."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from e2e.stack import REPO_ID, Platform, run_platform
from fixtures.hub import run_hub
from fixtures.processes import clean_environment

pytestmark = pytest.mark.timeout(600)

CANARY = "cAnArY"
"""Part of every planted secret, and of nothing else."""
PASSWORD = f"p@ss/{CANARY}-1"
KEYS = {"MLX_API_KEY": f"inference-{CANARY}-key-0123456789", "MLX_HUB_API_KEY": f"backend-{CANARY}-key-0123456789"}
HF_TOKEN = f"hf_{CANARY}" + "x1" * 14
FOREIGN_KEY = f"mlxhub_{CANARY}" + "y2" * 18
HEADERS = {
    "cookie": f"session={CANARY}-cookie",
    "x-hf-token": HF_TOKEN,
    "proxy-authorization": f"Basic {CANARY}Zm9vOmJhcg==",
    "user-agent": f"client token={CANARY}-agent",
    "referer": f"https://me:{CANARY}@elsewhere/?key={CANARY}",
}
QUERY = f"?api_key={CANARY}-query&token={HF_TOKEN}&page_size=wrong-{CANARY}"


@dataclass
class Asked:
    """Everything that was answered."""

    platform: Platform
    answers: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def ask(self, url: str, method: str = "GET", **options: Any) -> httpx.Response:
        answer = httpx.request(method, url, timeout=60, **options)
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        self.statuses.add(answer.status_code)
        return answer


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, postgres_database: Callable[[], str]) -> Iterator[Asked]:
    home = tmp_path_factory.mktemp("canaries")
    # This cluster trusts whoever connects, so that any password is a good one.
    url = postgres_database().replace("postgres@", "postgres:p%40ss%2FcAnArY-1@")
    variables = {
        **KEYS,
        "HF_TOKEN": HF_TOKEN,
        "MLFLOW_TRACKING_URI": f"http://mlflow:{CANARY}-mlflow@127.0.0.1:9",
        "MLFLOW_TRACKING_TOKEN": f"{CANARY}-mlflow-token",
        "OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{CANARY}-otlp",
        "MLX_LOG_LEVEL": "debug",
        "MLX_HUB_LOG_LEVEL": "debug",
    }
    with run_hub() as hub, run_platform(home, url, hub, **variables) as platform:
        asked = Asked(platform)
        _drive(asked, platform.inference.base_url, KEYS["MLX_API_KEY"], INFERENCE_REQUESTS)
        _drive(asked, f"{platform.backend.base_url}/api/v1", KEYS["MLX_HUB_API_KEY"], BACKEND_REQUESTS)
        _wait_for_downloads(asked)
        yield asked


INFERENCE_REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models", None),
    ("GET", "/admin/settings", None),
    ("GET", "/system/settings", None),
    ("GET", "/no/such/route", None),
    (
        "POST",
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": f"password={PASSWORD} {HF_TOKEN}"}], "max_tokens": 3},
    ),
    ("POST", "/v1/chat/completions", {"messages": CANARY, "api_key": FOREIGN_KEY, "temperature": CANARY}),
    ("POST", "/v1/completions", {"prompt": FOREIGN_KEY, "max_tokens": "x" + CANARY}),
    ("POST", "/v1/embeddings", {"input": {"secret": CANARY}}),
    ("POST", "/admin/models/register", {"name": "x", "base_model": "nobody/has-this", "config": {"token": HF_TOKEN}}),
]
BACKEND_REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/models", None),
    ("GET", "/system/settings", None),
    ("GET", "/no/such/route", None),
    ("POST", "/models", {"name": 5, "base_model": None, "hf_token": HF_TOKEN, "description": {"key": CANARY}}),
    ("POST", "/training", {"model_id": CANARY, "dataset_id": CANARY, "config": {"learning_rate": CANARY}}),
    ("POST", "/models/download", {"repo_id": "org/nobody-has-this"}),
    ("POST", "/discover/download", {"repo_id": "org/nobody-has-this", "token": HF_TOKEN}),
    ("POST", "/discover/download", {"repo_id": REPO_ID}),
]


def _drive(asked: Asked, base_url: str, key: str, requests: list[tuple[str, str, Any]]) -> None:
    """Each request with the right key and without one, with what browsers and proxies add; then bodies that are none."""
    for method, path, body in requests:
        asked.ask(f"{base_url}{path}", method, json=body, headers={**HEADERS, "authorization": f"Bearer {key}"})
        asked.ask(f"{base_url}{path}{QUERY}", method, json=body, headers={**HEADERS, "x-api-key": key})
    for wrong in (f"Bearer {FOREIGN_KEY}", f"Basic {CANARY}", f"{CANARY}"):
        asked.ask(f"{base_url}{requests[0][1]}{QUERY}", headers={**HEADERS, "authorization": wrong})
    broken = f'{{"api_key": "{FOREIGN_KEY}", "messages": [{{"token": {CANARY}'
    headers = {**HEADERS, "authorization": f"Bearer {key}", "content-type": "application/json"}
    posts = {path for method, path, _ in requests if method == "POST"}
    for path in sorted(posts):
        asked.ask(f"{base_url}{path}", "POST", content=broken, headers=headers)
        asked.ask(f"{base_url}{path}", "POST", content=b"\xff" + CANARY.encode(), headers=headers)


def _wait_for_downloads(asked: Asked) -> None:
    """Until the worker has had both downloads: one that fails and one that is made."""
    url = f"{asked.platform.backend.base_url}/api/v1/downloads"
    headers = {"authorization": f"Bearer {KEYS['MLX_HUB_API_KEY']}"}

    def statuses() -> set[str]:
        return {row["status"] for row in httpx.get(url, headers=headers, timeout=60).json()["items"]}

    asked.platform.worker.wait_until(lambda: statuses() == {"failed", "ready"}, 60)
    asked.ask(url, headers=headers)


def test_requests_succeeded_and_failed_in_many_ways(asked: Asked) -> None:
    """Else the tests below would look at nothing."""
    assert {200, 202, 400, 401, 404, 422} <= asked.statuses


def test_no_secret_is_in_any_log(asked: Asked) -> None:
    logs = [*asked.platform.home.rglob("*.log"), *asked.platform.home.rglob("audit*")]
    found = {
        str(path): [line for line in path.read_text(errors="replace").splitlines() if CANARY in line]
        for path in logs
        if path.is_file()
    }

    assert sum(path.read_text(errors="replace").count('"request_done"') for path in logs if path.is_file()) > 40
    assert not {path: lines[:3] for path, lines in found.items() if lines}


def test_every_line_of_the_logs_is_an_event(asked: Asked) -> None:
    for log in (asked.platform.backend.log(), asked.platform.inference.log()):
        assert all({"event", "level", "component", "timestamp"} <= json.loads(line).keys() for line in log.splitlines())


def test_no_secret_is_in_any_answer(asked: Asked) -> None:
    assert len(asked.answers) > 40
    assert not [answer for answer in asked.answers if CANARY in answer]


def test_no_secret_is_in_the_metrics(asked: Asked) -> None:
    for url, key in (
        (f"{asked.platform.inference.base_url}/metrics", KEYS["MLX_API_KEY"]),
        (f"{asked.platform.backend.base_url}/metrics", KEYS["MLX_HUB_API_KEY"]),
        (asked.platform.worker.metrics_url, KEYS["MLX_HUB_API_KEY"]),
    ):
        answer = httpx.get(url, headers={"authorization": f"Bearer {key}"}, timeout=60)
        assert answer.status_code == 200, url
        assert CANARY not in answer.text


def test_no_secret_is_on_a_command_line(asked: Asked) -> None:
    platform = asked.platform
    roots = [psutil.Process(one.process.pid) for one in (platform.inference, platform.backend, platform.worker)]
    processes = [process for root in roots for process in (root, *root.children(recursive=True))]

    assert len(processes) > 3
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert CANARY not in " ".join(process.cmdline())


@pytest.mark.parametrize("module", ["mlx_hub.main", "mlx_hub.worker"], ids=["the backend", "the worker"])
@pytest.mark.parametrize(
    "address", [f"postgresql://hub:{CANARY}@127.0.0.1:9/hub", f"mysql://hub:{CANARY}@h/hub", f"{CANARY}:no-url:{CANARY}"]
)
def test_an_address_of_a_database_that_does_not_work_is_not_told_with_its_password(
    module: str, address: str, tmp_path: Path
) -> None:
    environment = clean_environment(HOME=str(tmp_path), DATABASE_URL=address, MLX_HUB_WORKER_METRICS_PORT="0")
    with contextlib.suppress(subprocess.TimeoutExpired), (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", module, *(["--port", "0"] if module == "mlx_hub.main" else [])],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=30,
            check=False,
        )
        assert done.returncode != 0

    told = (tmp_path / "out").read_text()
    assert told
    assert CANARY not in told
