"""Medians, ratios and bars of a training benchmark, as a table and as JSON."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median

from report import Bar, Metric
from rich.console import Console
from rich.table import Table
from trainers import TrainerRun
from training_workloads import EpochSize

_MOST_LOSS = 1.02
"""Both trainers see the rows in another order; seeds alone move the held-out loss by a hundredth or so."""
_MOST_MEMORY = 1.02
"""MLX allocates ahead of what it computes, so peaks of equal runs differ by about a hundredth."""
_PARITY = 0.95


@dataclass(slots=True)
class Results:
    """All runs of both trainers on one workload, and the held-out losses of their adapters."""

    workload: str
    has_mixed_lengths: bool
    mask_prompt: bool
    num_steps: int
    size: EpochSize
    runs: dict[str, list[TrainerRun]] = field(default_factory=lambda: {"ours": [], "peer": []})
    base_loss: float = 0
    losses: dict[str, list[float]] = field(default_factory=dict)

    def metrics(self) -> dict[str, Metric]:
        """By a short key."""
        num_tokens = self.size.num_tokens
        ours, peer = self.losses["ours"], self.losses["peer"]
        paddings = [100 * self.size.ours_padding], [100 * self.size.peer_padding]
        return {
            "speed": self._metric("training", "tokens/s", lambda run: num_tokens / run.steps_seconds),
            "cpu_speed": self._metric("training", "tokens/CPU s", lambda run: num_tokens / run.steps_cpu_seconds),
            "process": self._metric("whole process", "s", lambda run: run.process_seconds),
            "process_cpu": self._metric("whole process", "CPU s", lambda run: run.process_cpu_seconds),
            "mlx": self._metric("peak memory of MLX", "MB", lambda run: run.peak_mlx_bytes / 1e6),
            "rss": self._metric("peak memory of the process", "MB", lambda run: run.peak_rss_bytes / 1e6),
            "padding": _metric("padding", "%", *paddings),
            "loss": _metric("held-out loss", "nats", ours, peer),
        }

    def _metric(self, name: str, unit: str, value: Callable[[TrainerRun], float]) -> Metric:
        return _metric(name, unit, *([value(run) for run in self.runs[trainer]] for trainer in ("ours", "peer")))


def _metric(name: str, unit: str, ours: list[float], peer: list[float]) -> Metric:
    return Metric(name, unit, median(ours), median(peer), (min(ours), max(ours)), (min(peer), max(peer)))


def judge(found: list[Results], *, on_cpu: bool) -> list[Bar]:
    """The bars, decided on medians. On a CPU the CPU's seconds decide about speed, as other work does not move them."""
    bars: list[Bar] = []
    for results in found:
        metrics = results.metrics()
        least = 1.0 if results.has_mixed_lengths else _PARITY
        speed, mlx, rss, loss = (metrics[key] for key in ("cpu_speed" if on_cpu else "speed", "mlx", "rss", "loss"))
        bars.append(Bar(f"{results.workload}: {speed.unit} (ours / peer >= {least:g})", speed.ratio, speed.ratio >= least))
        for metric, most in ((mlx, _MOST_MEMORY), (rss, _MOST_MEMORY), (loss, _MOST_LOSS)):
            claim = f"{results.workload}: {metric.name} (ours / peer <= {most:g})"
            bars.append(Bar(claim, metric.ratio, metric.ratio <= most))
    return bars


def print_report(found: list[Results]) -> None:
    console = Console()
    for results in found:
        title = (
            f"{results.workload}: {results.size.num_tokens} tokens in {results.num_steps} steps, held-out loss"
            f" {results.base_loss:.3f} before; medians (lowest to highest)"
        )
        table = Table("", "unit", "MLX Model Hub", "mlx_lm.lora", "ours / peer", title=title)
        for metric in results.metrics().values():
            digits = 3 if metric.unit == "nats" else 0
            cells = [
                f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
                for middle, (low, high) in ((metric.ours, metric.ours_range), (metric.peer, metric.peer_range))
            ]
            table.add_row(metric.name, metric.unit, *cells, f"{metric.ratio:.2f}")
        console.print(table)


def to_json(found: list[Results]) -> list[dict[str, object]]:
    return [
        {
            **asdict(results),
            "metrics": {key: asdict(metric) | {"ratio": metric.ratio} for key, metric in results.metrics().items()},
        }
        for results in found
    ]
