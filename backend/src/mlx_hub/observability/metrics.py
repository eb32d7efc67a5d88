"""Prometheus metrics of the API process, in a registry of their own."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows a table has in one state; tables without states have the state `all`."""

    table: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """How many workers are alive, how far MLflow is behind, and how training jobs fare."""

    num_machines_alive: int
    num_mlflow_rows: int
    mlflow_seconds_behind: float
    job_silence_seconds: float
    """Of the running training job that was heard of longest ago; 0 when none runs."""


class Metrics:
    """Everything the API process counts; used on the event loop only."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "mlx_hub_http_requests", "HTTP requests by route and status.", ["method", "route", "status"], registry=self._registry
        )
        self.request_seconds = Histogram(
            "mlx_hub_http_request_duration_seconds",
            "Time from request to the last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge("mlx_hub_http_requests_in_flight", "HTTP requests being answered.", registry=self._registry)
        self._database_up = Gauge("mlx_hub_database_up", "1 when the database answered the scrape.", registry=self._registry)
        self._rows = Gauge("mlx_hub_rows", "Rows by table and state.", ["table", "state"], registry=self._registry)
        self.event_listeners = Gauge("mlx_hub_event_listeners", "Clients of the event stream.", registry=self._registry)
        self.events_sent = Counter("mlx_hub_events_sent", "Events sent to clients.", ["kind"], registry=self._registry)
        self.event_resets = Counter("mlx_hub_event_resets", "Clients that must fetch all anew.", registry=self._registry)
        self._machines = Gauge("mlx_hub_machines_alive", "Machines with a worker.", registry=self._registry)
        self._mlflow_rows = Gauge("mlx_hub_mlflow_pending_rows", "What MLflow has still to be told.", registry=self._registry)
        self._mlflow_behind = Gauge(
            "mlx_hub_mlflow_behind_seconds", "Age of the oldest thing that MLflow does not know.", registry=self._registry
        )
        self._job_silence = Gauge(
            "mlx_hub_job_silence_seconds", "Longest time without a sign of a running training job.", registry=self._registry
        )

    def show_rows(self, counts: Iterable[RowCount] | None) -> None:
        """Sets what the next scrape shows of the database; None when that did not answer."""
        self._database_up.set(counts is not None)
        self._rows.clear()
        for count in counts or ():
            self._rows.labels(count.table, count.state).set(count.count)

    def show_platform(self, count: PlatformCount | None) -> None:
        """None, when the database did not answer, leaves what was known."""
        if count is not None:
            self._machines.set(count.num_machines_alive)
            self._mlflow_rows.set(count.num_mlflow_rows)
            self._mlflow_behind.set(count.mlflow_seconds_behind)
            self._job_silence.set(count.job_silence_seconds)

    def add(self, collector: Collector) -> None:
        """Shows what `collector` tells at each scrape as well."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
