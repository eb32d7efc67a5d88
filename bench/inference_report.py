"""Medians, ratios and bars of the comparison with `mlx_lm.server`, as a table and as JSON."""

from collections.abc import Callable
from dataclasses import asdict
from statistics import median

from measures import Round, Sample
from report import Bar, Metric
from rich.console import Console
from rich.table import Table


def summarise(ours: list[Round], peer: list[Round]) -> dict[str, Metric]:
    """All metrics by a short key, from the rounds of both servers."""

    def metric(name: str, unit: str, values: Callable[[Round], list[float]]) -> Metric:
        own = [value for round_ in ours for value in values(round_)]
        other = [value for round_ in peer for value in values(round_)]
        return Metric(name, unit, median(own), median(other), (min(own), max(own)), (min(other), max(other)))

    metrics = {
        "cold": metric("first token, cold", "ms", lambda round_: _milliseconds(round_.cold)),
        "hit": metric("first token, repeated system prompt", "ms", lambda round_: _milliseconds(round_.hit)),
        "restart": metric("first token, repeated after a restart", "ms", lambda round_: _milliseconds(round_.after_restart)),
        "gap": metric(
            "longest gap of a stream while a long prompt arrives",
            "ms",
            lambda round_: [1000 * gap for gap in round_.longest_gap_seconds],
        ),
    }
    for streams in sorted(ours[0].tokens_per_second):
        name = f"throughput, {streams} stream{'s' if streams > 1 else ''}"
        metrics[f"streams_{streams}"] = metric(name, "tokens/s", lambda round_, n=streams: [round_.tokens_per_second[n]])
    return metrics


def _milliseconds(samples: list[Sample]) -> list[float]:
    return [1000 * sample.ttft_seconds for sample in samples]


def judge(metrics: dict[str, Metric]) -> list[Bar]:
    """The bars, decided on medians without any allowance for noise."""
    cold, hit, restart, gap = (metrics[key] for key in ("cold", "hit", "restart", "gap"))
    most = max((key for key in metrics if key.startswith("streams_")), key=lambda key: int(key.removeprefix("streams_")))
    throughput = metrics[most]
    return [
        Bar("hit at least 10 times faster than cold", cold.ours / hit.ours, cold.ours / hit.ours >= 10),
        Bar("hit after a restart at least 10 times faster than cold", cold.ours / restart.ours, cold.ours / restart.ours >= 10),
        Bar("cold not slower than mlx_lm.server (ours / peer <= 1)", cold.ratio, cold.ratio <= 1),
        Bar("hit not slower than mlx_lm.server (ours / peer <= 1)", hit.ratio, hit.ratio <= 1),
        Bar(f"{throughput.name}: at least mlx_lm.server's (ours / peer >= 1)", throughput.ratio, throughput.ratio >= 1),
        Bar("longest gap at most a quarter of mlx_lm.server's (ours / peer <= 0.25)", gap.ratio, gap.ratio <= 0.25),
    ]


def print_report(metrics: dict[str, Metric]) -> None:
    table = Table("", "unit", "MLX Model Hub", "mlx_lm.server", "ours / peer", title="medians (lowest to highest)")
    for metric in metrics.values():
        cells = [
            f"{middle:.0f} ({low:.0f} to {high:.0f})"
            for middle, (low, high) in ((metric.ours, metric.ours_range), (metric.peer, metric.peer_range))
        ]
        table.add_row(metric.name, metric.unit, *cells, f"{metric.ratio:.2f}")
    Console().print(table)


def to_json(metrics: dict[str, Metric]) -> dict[str, object]:
    return {key: asdict(metric) | {"ratio": metric.ratio} for key, metric in metrics.items()}
