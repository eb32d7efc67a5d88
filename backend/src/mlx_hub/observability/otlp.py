"""Spans as OpenTelemetry has them, and the thread that sends them. Imported by `Tracing.start` alone.

http://host:4317 is OTLP over gRPC; port 4318 or a path (MLflow's is /v1/traces) is OTLP over HTTP. Headers, certificates and
further attributes of the service come from OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_HEADERS and the like).
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPCExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTPExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mlx_hub.observability.tracing import Kind, SpanCounts, Value

log = structlog.get_logger(__name__)

_HTTP_PORT = 4318
_MAX_QUEUED = 4096
_MAX_BATCH = 512
_BATCH_SECONDS = 1.0
_SEND_SECONDS = 5
_CLOSE_SECONDS = 2.0
_KINDS: dict[Kind, trace.SpanKind] = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
}


class OTLPSource:
    """Makes root spans, and sends what has ended."""

    def __init__(self, endpoint: str, *, service: str, version: str, counts: SpanCounts) -> None:
        resource = Resource.create({"service.name": service, "service.version": version})
        provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(queue := SpanQueue(_exporter(endpoint), counts))
        self._queue = queue
        self._tracer = provider.get_tracer(service, version)
        self._propagator = TraceContextTextMapPropagator()

    def root(self, name: str, *, kind: Kind, parent: str | None, attributes: Mapping[str, Value]) -> "OTLPSpan":
        context = self._propagator.extract({"traceparent": parent}) if parent else None
        return OTLPSpan(
            self._tracer, self._tracer.start_span(name, context=context, kind=_KINDS[kind], attributes=dict(attributes))
        )

    def close(self) -> None:
        self._queue.shutdown()


class OTLPSpan:
    """One span of `tracing.Span`'s kind."""

    def __init__(self, tracer: trace.Tracer, inner: trace.Span) -> None:
        self._tracer = tracer
        self._inner = inner

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._inner.get_span_context().trace_id)

    @property
    def traceparent(self) -> str:
        context = self._inner.get_span_context()
        return f"00-{self.trace_id}-{trace.format_span_id(context.span_id)}-{context.trace_flags:02x}"

    def child(
        self, name: str, *, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None, start_ns: int | None = None
    ) -> "OTLPSpan":
        context = trace.set_span_in_context(self._inner)
        inner = self._tracer.start_span(
            name, context=context, kind=_KINDS[kind], attributes=dict(attributes or {}), start_time=start_ns
        )
        return OTLPSpan(self._tracer, inner)

    def rename(self, name: str) -> None:
        self._inner.update_name(name)

    def note(self, attributes: Mapping[str, Value]) -> None:
        self._inner.set_attributes(dict(attributes))

    def fail(self, error_type: str) -> None:
        self._inner.set_attribute("error.type", error_type)
        self._inner.set_status(trace.StatusCode.ERROR)

    def end(self, end_ns: int | None = None) -> None:
        self._inner.end(end_ns)


class SpanQueue(SpanProcessor):
    """Sends ended spans in batches by a thread of its own: nobody waits for it, and at the end for two seconds only.

    The SDK's own BatchSpanProcessor waits 30 s at the end and counts nothing (opentelemetry-sdk 1.45, issue 4555).
    """

    def __init__(self, exporter: SpanExporter, counts: SpanCounts) -> None:
        self._exporter = exporter
        self._counts = counts
        self._spans: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="trace-sender", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        with self._changed:
            if len(self._spans) >= _MAX_QUEUED or self._is_closing:
                self._counts.lost["queue_full"] += 1
                return
            self._spans.append(span)
            if len(self._spans) in (1, _MAX_BATCH):
                self._changed.notify()

    def shutdown(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)
        self._exporter.shutdown()
        self._thread.join(0.1)

    def _run(self) -> None:
        while batch := self._next_batch():
            is_delivered = self._send(batch)
            num_lost = 0 if is_delivered else len(batch) + self._give_up_at_end()
            self._count(len(batch), num_lost)

    def _give_up_at_end(self) -> int:
        """What is not even tried any more."""
        with self._changed:
            left = len(self._spans) if self._is_closing else 0
            if left:
                self._spans.clear()
            return left

    def _next_batch(self) -> list[ReadableSpan]:
        """Waits for some, and a moment for more of them; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._spans or self._is_closing)
            self._changed.wait_for(lambda: len(self._spans) >= _MAX_BATCH or self._is_closing, _BATCH_SECONDS)
            return [self._spans.popleft() for _ in range(min(len(self._spans), _MAX_BATCH))]

    def _send(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except (
            Exception
        ) as error:  # A sender that ends would lose all later spans: whatever the exporter runs into costs a batch.
            log.debug("trace_export_failed", reason=type(error).__name__)
            return False

    def _count(self, num_spans: int, num_lost: int) -> None:
        """Says once that the collector is away, and once that it is back."""
        self._counts.lost["not_delivered"] += num_lost
        self._counts.delivered += 0 if num_lost else num_spans
        if num_lost and not self._is_failing:
            log.warning("traces_not_delivered", num_lost=num_lost)
        elif self._is_failing and not num_lost:
            log.info("traces_delivered_again", num_lost=self._counts.lost["not_delivered"])
        self._is_failing = bool(num_lost)


def _exporter(endpoint: str) -> SpanExporter:
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path and parts.port != _HTTP_PORT:
        return GRPCExporter(endpoint=endpoint, timeout=_SEND_SECONDS)
    return HTTPExporter(endpoint=endpoint if path else f"{parts.scheme}://{parts.netloc}/v1/traces", timeout=_SEND_SECONDS)
