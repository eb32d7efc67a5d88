"""What a worker counts, and the figures of the trainer that it watches, in a registry of their own.

A worker has one trainer at a time, so its figures need no label; while there is none they are absent, not 0.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_WORK_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_GAUGES = {
    "learning_rate": ("mlx_hub_training_learning_rate", "Learning rate of the last step."),
    "grad_norm": ("mlx_hub_training_gradient_norm", "Norm of the last step's gradient."),
    "tokens_per_second": ("mlx_hub_training_tokens_per_second", "Speed of the last step."),
    "peak_memory_bytes": ("mlx_hub_training_peak_memory_bytes", "Most device memory that the trainer had in use at once."),
}
_LOSSES = {"train_loss": "train", "val_loss": "validation"}


class Beat(Protocol):
    """What a trainer says of itself now and then."""

    @property
    def pid(self) -> int: ...
    @property
    def create_time(self) -> float: ...
    @property
    def step(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def num_checks(self) -> int: ...


class TrainerFigures(Collector):
    """Of the trainer that is watched now. Set on the event loop, read by the thread that answers scrapes."""

    def __init__(self, starts: Counter, steps: Counter, now: Callable[[], float] = time.monotonic) -> None:
        self._starts = starts
        self._steps = steps
        self._now = now
        self._mode: str | None = None
        self._beat: Beat | None = None
        self._changed_at = 0.0
        self._values: Mapping[str, float] = {}

    @contextmanager
    def watching(self, mode: str) -> Generator[None]:
        """The block during which a trainer is watched. `mode` is train, probe or evaluate."""
        self._mode, self._beat, self._values, self._changed_at = mode, None, {}, self._now()
        try:
            yield
        finally:
            self._mode = None

    def see(self, beat: Beat | None) -> None:
        """What the trainer last said; None before it has spoken."""
        last = self._beat
        if beat is None or self._mode is None:
            return
        if last is None or (beat.pid, beat.create_time) != (last.pid, last.create_time):
            self._starts.labels(self._mode).inc()
        if last is None or (beat.pid, beat.step, beat.num_checks) != (last.pid, last.step, last.num_checks):
            self._changed_at = self._now()
        self._beat = beat

    def record(self, points: Iterable[Mapping[str, float]]) -> None:
        """New lines of its `metrics.jsonl`, oldest first."""
        for point in points:
            self._values = {**self._values, **point}
            if "train_loss" in point:
                self._steps.inc()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        mode, beat, values = self._mode, self._beat, self._values
        active = GaugeMetricFamily("mlx_hub_trainer_active", "1 for what the trainer does now.", labels=["mode"])
        for each in ("train", "probe", "evaluate"):
            active.add_metric([each], float(mode == each))
        yield active
        if mode is None:
            return
        silence = self._now() - self._changed_at
        yield GaugeMetricFamily("mlx_hub_trainer_silent_seconds", "Time since the trainer last came forward.", value=silence)
        if mode != "train":
            return
        if beat is not None and beat.num_steps:
            yield GaugeMetricFamily("mlx_hub_training_step", "Steps done of the job.", value=beat.step)
            yield GaugeMetricFamily("mlx_hub_training_planned_steps", "Steps that the job will have.", value=beat.num_steps)
        yield from _figures(values)


def _figures(values: Mapping[str, float]) -> Iterator[Metric]:
    loss = GaugeMetricFamily("mlx_hub_training_loss", "Last loss by part of the data.", labels=["split"])
    for name, split in _LOSSES.items():
        if name in values:
            loss.add_metric([split], values[name])
    yield loss
    for name, (metric, text) in _GAUGES.items():
        if name in values:
            yield GaugeMetricFamily(metric, text, value=values[name])


class WorkerMetrics:
    """One for a worker. Everything is used on its event loop but `render`, which any thread may call."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.chore_failures = Counter(
            "mlx_hub_worker_chore_failures", "Chores that failed; they are done again.", ["chore"], registry=self._registry
        )
        self._in_progress = Gauge(
            "mlx_hub_work_in_progress", "Jobs, tasks and downloads in hand.", ["kind"], registry=self._registry
        )
        self._work_seconds = Histogram(
            "mlx_hub_work_duration_seconds",
            "Time that a worker had a job, task or download in hand.",
            ["kind"],
            buckets=_WORK_SECONDS,
            registry=self._registry,
        )
        starts = Counter("mlx_hub_trainer_starts", "Trainers seen for the first time.", ["mode"], registry=self._registry)
        steps = Counter("mlx_hub_training_steps", "Training steps done.", registry=self._registry)
        self.trainer = TrainerFigures(starts, steps)
        self._registry.register(self.trainer)

    @contextmanager
    def working(self, kind: str) -> Generator[None]:
        """The block in which the worker has one row in hand."""
        started = time.monotonic()
        with self._in_progress.labels(kind).track_inprogress():
            try:
                yield
            finally:
                self._work_seconds.labels(kind).observe(time.monotonic() - started)

    def add(self, collector: Collector) -> None:
        """Shows what `collector` tells at each scrape as well."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
