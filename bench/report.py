"""What every benchmark ends with: its bars, told and saved with the machine, the versions, the command and the commit."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import psutil
from rich.console import Console

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table: medians over all rounds with their range, in `unit`."""

    name: str
    unit: str
    ours: float
    peer: float
    ours_range: tuple[float, float]
    peer_range: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peer


@dataclass(frozen=True, slots=True)
class Bar:
    """A claim with the number that decides it."""

    claim: str
    value: float
    passed: bool


def conclude(
    name: str,
    bars: Sequence[Bar],
    content: Mapping[str, object],
    *,
    started_at: datetime,
    package: str = "unified-mlx-app",
    is_strict: bool = False,
) -> int:
    """Print the bars, write results/NAME.json with all that a reader needs to trust it, and give the exit status.

    `package` is the one whose version is noted. The status is 1 when `is_strict` and a bar is missed.
    """
    console = Console()
    for bar in bars:
        console.print(f"{'[green]PASS[/]' if bar.passed else '[red]FAIL[/]'}  {bar.claim}: {bar.value:.2f}")
    result = {
        "started_at": started_at.isoformat(),
        "command": _command_line(),
        "commit": _git_commit(),
        "machine": describe_machine(package),
        **content,
        "bars": [asdict(bar) for bar in bars],
    }
    path = REPOSITORY / "bench/results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"saved {path.relative_to(REPOSITORY)}")
    return int(is_strict and not all(bar.passed for bar in bars))


def describe_machine(package: str = "unified-mlx-app") -> dict[str, object]:
    """Where the numbers were taken: processor, memory, system, device of MLX and versions, `package`'s among them."""
    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "device": str(mx.default_device()),
        "device_info": {key: value for key, value in mx.device_info().items() if isinstance(value, str | int)},
        "versions": {name: version(name) for name in ("mlx", "mlx-lm", package)},
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _git_commit() -> str:
    """The commit measured, with `-dirty` when files differ from it; empty outside a repository."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip()


def _command_line() -> str:
    """As it was typed, without the path of this machine's checkout."""
    script = Path("bench") / Path(sys.argv[0]).name
    return " ".join([Path(sys.executable).name, str(script), *sys.argv[1:]])
