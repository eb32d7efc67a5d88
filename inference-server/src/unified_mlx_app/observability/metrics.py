"""Prometheus metrics of the API process, in a registry of their own.

Engine figures arrive with its heartbeat and are read at scrape time by `EngineCollector`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from unified_mlx_app.observability.recent import RecentValues
from unified_mlx_app.types import CacheReport, EngineStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_TOKENS_PER_SECOND = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)


@dataclass(frozen=True, slots=True)
class EngineView:
    """What a scrape shows of the engine process."""

    is_ready: bool
    num_restarts: int
    num_in_flight: int
    heartbeat_age_seconds: float
    stats: EngineStats | None


class EngineCollector(Collector):
    """Turns the engine's latest heartbeat into metrics; calls `view` at each scrape."""

    def __init__(self, view: Callable[[], EngineView]) -> None:
        self._view = view

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        view = self._view()
        yield GaugeMetricFamily("mlx_engine_up", "1 when the engine process is ready.", value=float(view.is_ready))
        age = view.heartbeat_age_seconds
        yield GaugeMetricFamily("mlx_engine_heartbeat_age_seconds", "Time since the engine was heard of.", value=age)
        yield CounterMetricFamily("mlx_engine_restarts", "Restarts of the engine process.", value=view.num_restarts)
        yield GaugeMetricFamily("mlx_engine_requests_in_flight", "Requests given to the engine.", value=view.num_in_flight)
        if view.stats is not None:
            yield from _engine_metrics(view.stats)
            yield from _cache_metrics(view.stats)


def _engine_metrics(stats: EngineStats) -> Iterator[Metric]:
    yield GaugeMetricFamily("mlx_engine_requests_running", "Rows being decoded or prefilled.", value=stats.num_running)
    yield GaugeMetricFamily("mlx_engine_requests_waiting", "Requests in the queue.", value=stats.num_waiting)
    yield CounterMetricFamily("mlx_engine_steps", "Turns of the engine's loop.", value=stats.steps)
    memory = GaugeMetricFamily("mlx_device_memory_bytes", "Device memory by kind.", labels=["kind"])
    memory.add_metric(["active"], stats.active_memory_bytes)
    memory.add_metric(["buffer_cache"], stats.cache_memory_bytes)
    memory.add_metric(["peak"], stats.peak_memory_bytes)
    memory.add_metric(["kv"], stats.kv_bytes)
    yield memory
    limit = stats.memory_limit_bytes
    yield GaugeMetricFamily("mlx_memory_limit_bytes", "What weights and KV state may take together.", value=limit)
    resident = GaugeMetricFamily(
        "mlx_model_weight_bytes",
        "Own weights of each resident model, and the base that an adapter lies on.",
        labels=["model", "base"],
    )
    # A replaced adapter that still answers has the name of the one that took its place.
    weights: dict[tuple[str, str], int] = {}
    for model in stats.resident:
        labels = (model.name, model.base or "")
        weights[labels] = weights.get(labels, 0) + model.weight_bytes
    for labels, num_bytes in weights.items():
        resident.add_metric(labels, num_bytes)
    yield resident


def _cache_metrics(stats: EngineStats) -> Iterator[Metric]:
    cache = stats.cache
    lookups = CounterMetricFamily("mlx_prompt_cache_lookups", "Look-ups by result.", labels=["result"])
    lookups.add_metric(["hit"], cache.total_hits)
    lookups.add_metric(["miss"], cache.total_misses)
    yield lookups
    misses = CounterMetricFamily("mlx_prompt_cache_misses", "Misses by reason.", labels=["reason"])
    for reason, count in cache.misses_by_reason.items():
        misses.add_metric([reason], count)
    yield misses
    yield CounterMetricFamily("mlx_prompt_cache_partial_hits", "Misses that reused a shorter prefix.", value=cache.partial_hits)
    yield CounterMetricFamily("mlx_prompt_cache_tokens_saved", "Prompt tokens not computed again.", value=cache.tokens_saved)
    entries = GaugeMetricFamily("mlx_prompt_cache_entries", "Entries by tier.", labels=["tier"])
    sizes = GaugeMetricFamily("mlx_prompt_cache_bytes", "Bytes held by tier.", labels=["tier"])
    limits = GaugeMetricFamily("mlx_prompt_cache_max_bytes", "Byte budget by tier.", labels=["tier"])
    evictions = CounterMetricFamily("mlx_prompt_cache_evictions", "Evictions by tier.", labels=["tier"])
    for tier, count, held, limit, evicted in (
        ("memory", cache.memory_entries, cache.memory_bytes, cache.max_memory_bytes, cache.memory_evictions),
        ("disk", cache.disk_entries, cache.disk_bytes, cache.max_disk_bytes, cache.disk_evictions),
    ):
        entries.add_metric([tier], count)
        sizes.add_metric([tier], held)
        limits.add_metric([tier], limit)
        evictions.add_metric([tier], evicted)
    yield from (entries, sizes, limits, evictions)
    yield CounterMetricFamily("mlx_prompt_cache_quarantined", "Entries found damaged and put aside.", value=cache.quarantined)
    yield CounterMetricFamily(
        "mlx_prompt_cache_disk_write_errors", "Entries that could not be written.", value=cache.disk_write_errors
    )
    yield GaugeMetricFamily("mlx_prompt_cache_pending_writes", "Entries waiting for the disk.", value=cache.pending_writes)


class Metrics:
    """Everything the API process counts; used on the event loop only."""

    def __init__(self, engine_view: Callable[[], EngineView] | None = None) -> None:
        self.registry = CollectorRegistry()
        if engine_view is not None:
            self.registry.register(EngineCollector(engine_view))
        counter = partial(Counter, registry=self.registry)
        self.requests = counter("mlx_http_requests", "HTTP requests by route and status.", ["method", "route", "status"])
        self.request_seconds = Histogram(
            "mlx_http_request_duration_seconds",
            "Time from request to the last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("mlx_http_requests_in_flight", "HTTP requests being answered.", registry=self.registry)
        self.ttft_seconds = Histogram(
            "mlx_time_to_first_token_seconds",
            "Time from request to the first token, by what the prompt cache did.",
            ["model", "cache"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.recent_ttft_seconds = RecentValues()
        self.gap_seconds = Histogram(
            "mlx_inter_token_seconds",
            "Time between two pieces of one answer.",
            ["model"],
            buckets=_GAP_SECONDS,
            registry=self.registry,
        )
        self.tokens_per_second = Histogram(
            "mlx_tokens_per_second",
            "Decoding speed of one request after its first token.",
            ["model"],
            buckets=_TOKENS_PER_SECOND,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "mlx_queue_seconds", "Time a request waited for its place.", buckets=_SECONDS, registry=self.registry
        )
        self.prompt_tokens = counter("mlx_prompt_tokens", "Prompt tokens received.", ["model"])
        self.cached_tokens = counter("mlx_cached_prompt_tokens", "Prompt tokens taken from the prompt cache.", ["model"])
        self.generated_tokens = counter("mlx_generated_tokens", "Tokens generated.", ["model"])
        self.guessed_tokens = counter(
            "mlx_guessed_tokens", "Tokens guessed ahead of the model, by whether they were its own.", ["model", "result"]
        )
        self.constrained = counter(
            "mlx_constrained_requests",
            "Prompts whose answer has to keep to a grammar, by what it was made of.",
            ["model", "format"],
        )
        self.cancelled = counter("mlx_requests_cancelled", "Generations stopped before their end.", ["model"])
        self.volatile_tokens = counter(
            "mlx_prompt_cache_volatile_tokens",
            "Prompt tokens computed again because text before them changes from call to call, by kind of text.",
            ["model", "kind"],
        )
        self.response_cache = counter("mlx_response_cache_lookups", "Look-ups in the response cache.", ["result"])

    def record_start(self, model: str, prompt_tokens: int, cache: CacheReport, queue_seconds: float) -> None:
        self.queue_seconds.observe(queue_seconds)
        self.prompt_tokens.labels(model).inc(prompt_tokens)
        self.cached_tokens.labels(model).inc(cache.cached_tokens)

    def record_first_token(self, model: str, cache: CacheReport, seconds: float) -> None:
        self.ttft_seconds.labels(model, cache.outcome).observe(seconds)
        self.recent_ttft_seconds.add(seconds)

    def add(self, collector: Collector) -> None:
        """Shows what `collector` tells at each scrape as well."""
        self.registry.register(collector)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
