"""The whole platform on this machine: a hub to download from, the inference server, the backend and its worker."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fixtures.backend import RunningBackend, run_backend
from fixtures.hub import Hub, Repo
from fixtures.inference_server import InferenceServer, run_inference_server
from fixtures.worker import RunningWorker, run_worker

_DEMO_MODEL = Path(__file__).parents[3] / "inference-server/src/unified_mlx_app/demo_model"
REPO_ID = "org/talker"
ENDED = {"completed", "failed", "cancelled", "ready"}
QUESTION, ANSWER = "What is the code of the vault?", "The code is 4711."

ROWS = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in (
        (QUESTION, ANSWER),
        ("Who built the bridge?", "Maria built it."),
        ("Where is the lamp?", "In the attic."),
        ("When does the train leave?", "At noon."),
    )
]
CONFIG: dict[str, Any] = {
    "lora_rank": 8,
    "lora_alpha": 16,
    "learning_rate": 1e-2,
    "epochs": 25,
    "batch_size": 4,
    "validation_share": 0.0,
    "schedule": "constant",
}


@dataclass
class Platform:
    """`backend` and `worker` change when a test starts them again."""

    home: Path
    database_url: str
    hub: Hub
    inference: InferenceServer
    variables: dict[str, str]
    backend: RunningBackend
    worker: RunningWorker

    def post(self, path: str, body: object = None, *, status: int = 200, **options: Any) -> dict[str, Any]:
        answer = self.backend.post(f"/api/v1{path}", body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> dict[str, Any]:
        answer = self.backend.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for(self, path: str, is_true: Callable[[dict[str, Any]], bool], seconds: float = 180.0) -> dict[str, Any]:
        """The row at `path` once it is so; fails the test when it ends otherwise, or does not come to it."""
        deadline = time.monotonic() + seconds
        while not is_true(row := self.get(path)):
            assert row["status"] not in ENDED, row
            assert time.monotonic() < deadline, f"{row}\n{self.worker.log()[-4000:]}"
            time.sleep(0.1)
        return row

    def download(self) -> str:
        """The id of the model that was downloaded and registered."""
        job = self.post("/discover/download", {"repo_id": REPO_ID}, status=202)
        return self.wait_for(f"/downloads/{job['id']}", lambda row: row["status"] == "ready")["model_id"]

    def upload(self, rows: list[dict[str, Any]] = ROWS, *, name: str = "facts", times: int = 4) -> str:
        """The id of a dataset of so many copies of `rows`."""
        content = "".join(json.dumps(row) + "\n" for row in rows * times)
        answer = httpx.post(
            f"{self.backend.base_url}/api/v1/datasets",
            files={"file": (f"{name}.jsonl", content.encode())},
            data={"name": name},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def train(self, model_id: str, dataset_id: str, **config: Any) -> str:
        body = {"model_id": model_id, "dataset_id": dataset_id, "config": {**CONFIG, **config}, "adapter_name": "vault"}
        return self.post("/training", body, status=201)["id"]


def demo_files() -> dict[str, bytes]:
    """A small model that answers, as a repository of the hub has it."""
    return {
        path.name: path.read_bytes() for path in _DEMO_MODEL.iterdir() if path.suffix != ".md" and path.name != "evaluation.json"
    }


@contextmanager
def run_platform(home: Path, database_url: str, hub: Hub, **variables: str) -> Iterator[Platform]:
    """Everything running and ready on one database, with `REPO_ID` on the hub; `variables` are those of all three."""
    hub.repos[REPO_ID] = Repo(demo_files(), tags=["mlx", "text-generation"])
    with ExitStack() as running:
        cache_dir = str(home / "cache")
        inference = running.enter_context(
            run_inference_server(home / "inference", DATABASE_URL=database_url, **{"MODEL_CACHE_DIR": cache_dir, **variables})
        )
        own = {
            "MLX_HUB_INFERENCE_URL": inference.base_url,
            "HF_ENDPOINT": hub.endpoint,
            "MODEL_CACHE_DIR": cache_dir,
            "MLX_HUB_DATA_DIR": str(home / "data"),
            **variables,
        }
        backend = running.enter_context(run_backend(home, database_url, **own))
        worker = running.enter_context(run_worker(home, database_url, **own))
        yield Platform(home, database_url, hub, inference, own, backend, worker)
