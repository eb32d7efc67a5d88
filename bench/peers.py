"""Servers and judges that are installed for one benchmark run only, each into a virtual environment of its own under `var/bench`.

Nothing of them touches the environments of the services. Who cannot be installed or does not start is told with the reason.
"""

import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from report import REPOSITORY
from servers import Server

_INSTALL_SECONDS = 1800
_ENVIRONMENTS = REPOSITORY / "var/bench"
_UV = REPOSITORY / ".tools/bin/uv"


class UnavailableError(Exception):
    """The package cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution of PyPI, with what else goes into its environment and what is left out of it."""

    distribution: str
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Without extras and version."""
        return self.distribution.partition("[")[0].partition("==")[0]

    def install(self) -> Path:
        """The environment's Python; what is there already is kept. Raises UnavailableError."""
        folder = _ENVIRONMENTS / self.name
        python = folder / "bin/python"
        if (folder / "complete").exists():
            return python
        _run("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        left_out = folder / "left-out.txt"
        left_out.write_text("".join(f"{name}; sys_platform == 'never'\n" for name in self.without))
        _run("pip", "install", "--quiet", "--python", str(python), "--override", str(left_out), self.distribution, *self.also)
        (folder / "complete").touch()
        return python

    def version(self) -> str:
        command = [str(self.install()), "-c", f"import importlib.metadata as m; print(m.version({self.name!r}))"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run([_UV, *arguments], capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"not installed within {_INSTALL_SECONDS} s") from None
    if done.returncode:
        raise UnavailableError(_reason(done.stderr))


def _reason(words: str) -> str:
    """uv's words in one line, without its drawings."""
    return " ".join(re.sub(r"[^\x20-\x7e]", " ", words).split())[:300] or "uv gave no reason"


_MLX = ("mlx[cpu]",) if platform.system() == "Linux" else ()
"""On Linux MLX's backend is a package of its own. Figures of a GPU are not what this benchmark is about."""
_TORCH = ("torch", "torchvision", "torchaudio") if platform.system() == "Linux" else ()
"""Linux's packages of PyTorch carry gigabytes of CUDA; who serves text without them goes without."""


class InstalledServer(Server):
    """A server from a scratch environment; `arguments` may name `{model}` and `{port}`."""

    start_seconds = 600  # Some import PyTorch and audio libraries first.

    def __init__(self, peer: "Peer", *, model: Path, work: Path, environment: Mapping[str, str]) -> None:
        super().__init__(peer.name, model=model, work=work, environment=environment)
        self._peer = peer

    def model_id(self) -> str:
        return str(self._model)

    def _command(self) -> list[str]:
        program = self._peer.package.install().with_name(self._peer.program)
        return [str(program), *(each.format(model=self._model, port=self.port) for each in self._peer.arguments)]

    def _variables(self) -> dict[str, str]:
        return {"DO_NOT_TRACK": "1", "RAPID_MLX_TELEMETRY": "0"}

    def _ready_path(self) -> str:
        return "/v1/models"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server for MLX models and how it is started with its default settings."""

    name: str
    package: Package
    program: str
    arguments: tuple[str, ...]


_ADDRESS = ("--host", "127.0.0.1", "--port", "{port}")
PEERS = (
    Peer("vllm-mlx", Package("vllm-mlx", _MLX, _TORCH), "vllm-mlx", ("serve", "{model}", *_ADDRESS)),
    Peer("rapid-mlx", Package("rapid-mlx", _MLX, _TORCH), "rapid-mlx", ("serve", "{model}", *_ADDRESS)),
    Peer(
        "mlx-openai-server",
        Package("mlx-openai-server", _MLX),
        "mlx-openai-server",
        ("launch", "--model-path", "{model}", "--model-type", "lm", *_ADDRESS),
    ),
    Peer("mlx-omni-server", Package("mlx-omni-server", _MLX, _TORCH), "mlx-omni-server", _ADDRESS),
    Peer("omlx", Package("omlx", _MLX, _TORCH), "omlx", ("serve", *_ADDRESS)),
)
LM_EVAL = Package("lm-eval[api]==0.4.13", ("transformers",))
LANGCHAIN = Package("langchain-openai==1.7.4")
