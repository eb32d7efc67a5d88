"""Traces: what a request or a job took its time for, sent to a collector when one is set.

Without a collector, and outside of traced work, every function here does nothing and OpenTelemetry is not even imported.
Spans hold names, counts and times: never a prompt, an answer, a query or a header.
"""

import importlib
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from mlx_hub.observability.logs import current_request_id

Value = str | bool | int | float | list[str]
Kind = Literal["server", "client", "internal"]
Loss = Literal["queue_full", "not_delivered"]


class Span(Protocol):
    """Work under way. May be used by any thread."""

    @property
    def trace_id(self) -> str: ...
    @property
    def traceparent(self) -> str:
        """What another process goes on from (W3C Trace Context)."""
        ...

    def child(
        self, name: str, *, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None, start_ns: int | None = None
    ) -> "Span": ...
    def rename(self, name: str) -> None: ...
    def note(self, attributes: Mapping[str, Value]) -> None:
        """Adds attributes."""
        ...

    def fail(self, error_type: str) -> None:
        """Marks it as failed with a code or the name of an exception."""
        ...

    def end(self, end_ns: int | None = None) -> None: ...


class SpanSource(Protocol):
    """Where root spans come from; `observability.otlp` has the one there is."""

    def root(self, name: str, *, kind: Kind, parent: str | None, attributes: Mapping[str, Value]) -> Span: ...
    def close(self) -> None: ...


_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


class SpanCounts(Collector):
    """What became of spans. Counted by the thread that sends them, read by scrapes."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.delivered = 0
        self.lost: dict[Loss, int] = {"queue_full": 0, "not_delivered": 0}

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        spans = CounterMetricFamily(f"{self._prefix}_trace_spans", "Spans by what became of them.", labels=["result"])
        spans.add_metric(["delivered"], self.delivered)
        for loss, count in self.lost.items():
            spans.add_metric([loss], count)
        yield spans


class Tracing:
    """One for a process. A collector that is slow or away costs spans, which are counted, and nothing else."""

    def __init__(self, endpoint: str, *, service: str, version: str, counts: SpanCounts) -> None:
        self._endpoint = endpoint
        self._service = service
        self._version = version
        self._source: SpanSource | None = None
        self.counts = counts

    def start(self) -> None:
        """From now on there are spans. Imports OpenTelemetry, which takes a moment."""
        # Else gRPC 1.85 writes lines of its own between the events of the log, for example when a collector stops.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        otlp = importlib.import_module(f"{__package__}.otlp")
        self._source = otlp.OTLPSource(self._endpoint, service=self._service, version=self._version, counts=self.counts)

    def close(self) -> None:
        """Sends what is left, for two seconds at most; blocks."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    @contextmanager
    def root(
        self, name: str, *, kind: Kind, parent: str | None = None, attributes: Mapping[str, Value] | None = None
    ) -> Generator[Span | None]:
        """The first span of this process for a piece of work, which goes on from the `traceparent` of another one's.

        Inside the block the functions below add to it, and log events tell its trace. None before `start`.
        """
        if self._source is None:
            yield None
            return
        root = self._source.root(name, kind=kind, parent=parent, attributes=attributes or {})
        with structlog.contextvars.bound_contextvars(trace_id=root.trace_id), _as_current(root):
            yield root


def open_tracing(endpoint: str | None, *, service: str, version: str, prefix: str) -> Tracing | None:
    """Not started yet; None without a collector. `prefix` begins the name of its metric."""
    return Tracing(endpoint, service=service, version=version, counts=SpanCounts(prefix)) if endpoint else None


@contextmanager
def span(name: str, attributes: Mapping[str, Value] | None = None, *, kind: Kind = "internal") -> Generator[Span | None]:
    """A part of the current work, from here to the end of the block."""
    parent = _current.get()
    if parent is None:
        yield None
        return
    with _as_current(parent.child(name, kind=kind, attributes=attributes)) as child:
        yield child


@contextmanager
def _as_current(current: Span) -> Generator[Span]:
    token = _current.set(current)
    try:
        yield current
    except BaseException as error:
        current.fail(getattr(error, "code", None) or type(error).__name__)
        raise
    finally:
        _current.reset(token)
        current.end()


def current_span() -> Span | None:
    return _current.get()


def current_traceparent() -> str | None:
    """What goes into the header `traceparent` of a request to another service, or beside a row that a worker takes up."""
    current = _current.get()
    return current.traceparent if current is not None else None


def propagation_headers() -> dict[str, str]:
    """By which another service of the platform logs and traces its part of this work under the same ids."""
    ids = {"x-request-id": current_request_id(), "traceparent": current_traceparent()}
    return {name: value for name, value in ids.items() if value is not None}


def mark_failed(error_type: str) -> None:
    """Says of the current span that its work ended with this code, where no exception passes through it."""
    if (current := _current.get()) is not None:
        current.fail(error_type)


def annotate(attributes: Mapping[str, Value]) -> None:
    """Adds attributes to the current span."""
    if (current := _current.get()) is not None:
        current.note(attributes)
