"""Prometheus metrics of the API process, in a registry of their own."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows a table has in one state; tables without states have the state `all`."""

    table: str
    state: str
    count: int


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

    def show_rows(self, counts: Iterable[RowCount] | None) -> None:
        """Sets what the next scrape shows of the database; None when that did not answer."""
        self._database_up.set(counts is not None)
        self._rows.clear()
        for count in counts or ():
            self._rows.labels(count.table, count.state).set(count.count)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
