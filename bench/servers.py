"""Start and stop the two servers that the benchmark compares, each alone on the machine and in the same environment."""

import ctypes.util
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import httpx

_STOP_SECONDS = 60
_OWN_PREFIXES = ("MLX_", "HF_", "DATABASE_URL", "MODEL_CACHE", "MLFLOW_")
"""Settings of the person who measures are not passed on: both servers run with their defaults."""


def server_environment(home: Path, *, on_cpu: bool) -> dict[str, str]:
    """Environment of both servers. On Linux's CPU build OpenBLAS is preloaded if installed.

    The CPU wheel of MLX carries a reference BLAS that is many times slower; more than one BLAS
    thread costs more in waiting than it gives on small matrices.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)}
    environment = {**inherited, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    library = ctypes.util.find_library("openblas")
    if on_cpu and platform.system() == "Linux" and library:
        environment |= {"LD_PRELOAD": library, "OPENBLAS_NUM_THREADS": "1"}
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server(ABC):
    """One server process on a free port of this machine; `start` again after `stop` restarts it."""

    start_seconds = 180

    def __init__(self, name: str, *, model: Path, work: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = work / f"{name}.log"
        self._model = model
        self._work = work
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when the server says that it is ready. Raises RuntimeError if it ends or takes too long."""
        self.port = _free_port()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), env=self._environment | self._variables(), cwd=self._work, stdout=log, stderr=log
            )
        deadline = time.monotonic() + self.start_seconds
        while not self._is_ready():
            has_ended = self._process.poll() is not None
            if has_ended or time.monotonic() > deadline:
                self.stop()
                words = "ended while it started" if has_ended else f"was not ready after {self.start_seconds} s"
                raise RuntimeError(f"{self.name} {words}:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the process as an operator would, by SIGTERM; by SIGKILL when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @abstractmethod
    def model_id(self) -> str:
        """The name by which requests ask for the model."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _variables(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def _ready_path(self) -> str: ...

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self.url + self._ready_path(), timeout=2).status_code == 200
        except httpx.TransportError:
            return False


class HubServer(Server):
    """This repository's server with its default settings, and a prompt cache folder that outlives restarts."""

    def model_id(self) -> str:
        return httpx.get(f"{self.url}/v1/models", timeout=10).json()["data"][0]["id"]

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "unified_mlx_app.main", "--api-only"]

    def _variables(self) -> dict[str, str]:
        return {
            "MLX_API_PORT": str(self.port),
            "MLX_TEXT_MODEL": str(self._model),
            "MLX_PROMPT_CACHE_DIR": str(self._work / "prompts"),
            "DATABASE_URL": f"sqlite:///{self._work / 'server.db'}",
        }

    def _ready_path(self) -> str:
        return "/health/ready"


class PeerServer(Server):
    """`mlx_lm.server` with its default settings."""

    def model_id(self) -> str:
        return "default_model"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "mlx_lm", "server", "--model", str(self._model), "--port", str(self.port)]

    def _ready_path(self) -> str:
        return "/health"
