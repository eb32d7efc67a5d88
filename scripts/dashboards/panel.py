"""What a dashboard is made of, and queries that several panels share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OF_MODEL = '{model=~"$model"}'
RATE = "[$__rate_interval]"
TOKENS_PER_SECOND = "suffix: tok/s"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries` by the name in the legend; "" takes the labels. Above `limits`, a stat turns yellow and red."""

    title: str
    description: str
    unit: str
    queries: Mapping[str, str]
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    height: int = 8
    is_stacked: bool = False
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`has_model` when its queries are for the models that the reader has chosen."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    has_model: bool = False


def stat(title: str, description: str, unit: str, expr: str, *limits: float) -> Panel:
    return Panel(title, description, unit, {"": expr}, kind="stat", width=4, height=4, limits=limits)


def share(part: str, whole: str) -> str:
    """0 to 1. Nothing while nothing happens; 0 while only the part has no series yet."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def latency(metric: str, selector: str = "") -> dict[str, str]:
    buckets = f"sum by (le) (rate({metric}_bucket{selector}{RATE}))"
    quantiles = {f"p{rank}": f"histogram_quantile({rank / 100}, {buckets})" for rank in (50, 95, 99)}
    return quantiles | {"mean": f"sum(rate({metric}_sum{selector}{RATE})) / sum(rate({metric}_count{selector}{RATE}))"}


HITS = f'sum(rate(mlx_prompt_cache_lookups_total{{result="hit"}}{RATE}))'
LOOKUPS = f"sum(rate(mlx_prompt_cache_lookups_total{RATE}))"
