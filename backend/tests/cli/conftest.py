"""The services that the commands talk to, all real and shared by these tests: hub, inference server, backend and worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.stack import demo_files
from fixtures.backend import RunningBackend, run_backend
from fixtures.hub import Hub, Repo, run_hub
from fixtures.inference_server import InferenceServer, run_inference_server
from fixtures.terminal import CommandLine
from fixtures.worker import RunningWorker, run_worker


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("platform")


@pytest.fixture(scope="session")
def shared_hub() -> Iterator[Hub]:
    """With `org/talker`, which is the demo model."""
    with run_hub() as running:
        running.repos["org/talker"] = Repo(demo_files(), tags=["mlx", "text-generation"], downloads=12_345)
        running.repos["org/gated-8bit"] = Repo({"config.json": b"{}"}, gated="manual", downloads=7)
        yield running


@pytest.fixture(scope="session")
def served(home: Path) -> Iterator[InferenceServer]:
    """The inference server with its demo model, and the model cache of the backend."""
    with run_inference_server(home / "inference", MODEL_CACHE_DIR=str(home / "cache")) as running:
        yield running


@pytest.fixture(scope="session")
def registry(home: Path, served: InferenceServer, shared_hub: Hub) -> Iterator[RunningBackend]:
    """A backend beside it, on SQLite."""
    variables = {"MLX_HUB_INFERENCE_URL": served.base_url, "HF_ENDPOINT": shared_hub.endpoint}
    with run_backend(home, f"sqlite:///{home}/hub.db", **variables) as running:
        yield running


@pytest.fixture(scope="session")
def worker(registry: RunningBackend, served: InferenceServer, shared_hub: Hub) -> Iterator[RunningWorker]:
    """What takes the backend's downloads, jobs and tasks."""
    variables = {"MLX_HUB_INFERENCE_URL": served.base_url, "HF_ENDPOINT": shared_hub.endpoint}
    with run_worker(registry.home, registry.database_url, **variables) as running:
        yield running


@pytest.fixture(scope="session")
def hub_cli(registry: RunningBackend, served: InferenceServer) -> CommandLine:
    """`mlx-hub` for backend and inference server."""
    return CommandLine(registry.base_url, served.base_url, str(registry.home))


@pytest.fixture
def lonely_cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """`mlx-hub` with nothing that answers: nobody listens on port 1."""
    return CommandLine("http://127.0.0.1:1", "http://127.0.0.1:1", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def talker(hub_cli: CommandLine, worker: RunningWorker) -> str:
    """The name of a registered base model whose weights are here."""
    assert hub_cli.run("models", "pull", "org/talker").status == 0, worker.log()
    return "org/talker"
