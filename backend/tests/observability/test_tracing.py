"""Spans as the code makes them, received over real OTLP, and what becomes of those that nobody takes."""

import time

import httpx
import pytest
from fixtures.collector import Collector, run_black_hole, run_grpc_collector, run_http_collector
from fixtures.mlflow import MlflowServer
from fixtures.processes import wait_until
from mlx_hub.errors import NotFoundError
from mlx_hub.observability.tracing import (
    Tracing,
    annotate,
    current_traceparent,
    mark_failed,
    open_tracing,
    propagation_headers,
    span,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def started(endpoint: str) -> Tracing:
    tracing = open_tracing(endpoint, service="tests", version="1", prefix="mlx_hub")
    assert tracing is not None
    tracing.start()
    return tracing


def result(tracing: Tracing) -> dict[str, float]:
    (family,) = tracing.counts.collect()
    return {sample.labels["result"]: sample.value for sample in family.samples}


def test_outside_of_traced_work_everything_does_nothing() -> None:
    with span("nothing") as nothing:
        annotate({"a": 1})
        mark_failed("x")

    assert nothing is None
    assert (current_traceparent(), propagation_headers()) == (None, {})
    assert open_tracing(None, service="tests", version="1", prefix="mlx_hub") is None


@pytest.mark.parametrize("run", [run_grpc_collector, run_http_collector], ids=["gRPC", "HTTP"])
def test_spans_arrive_with_their_parents_attributes_and_failures(run: type[Collector]) -> None:
    with run() as collector:
        tracing = started(collector.endpoint)
        with tracing.root("work", kind="server", parent=f"00-{TRACE}-{PARENT}-01", attributes={"a": 1}) as root:
            assert propagation_headers()["traceparent"] == current_traceparent() == root.traceparent
            with span("good", {"names": ["x", "y"]}, kind="client"):
                annotate({"b": True})
            with pytest.raises(NotFoundError), span("bad"):
                raise NotFoundError("There is none.")
            mark_failed("refused")
        work, good, bad = collector.wait_for("work", "good", "bad")
        tracing.close()

    assert (work.trace_id, work.parent_id, work.service) == (TRACE, PARENT, "tests")
    assert {good.parent_id, bad.parent_id} == {work.span_id}
    assert good.attributes == {"names": ["x", "y"], "b": True}
    assert (bad.is_failed, bad.attributes) == (True, {"error.type": "not_found"})
    assert (work.is_failed, work.attributes) == (True, {"a": 1, "error.type": "refused"})
    assert not good.is_failed
    assert result(tracing) == {"delivered": 3, "queue_full": 0, "not_delivered": 0}


def test_a_client_that_does_not_sample_its_trace_is_obeyed() -> None:
    with run_grpc_collector() as collector:
        tracing = started(collector.endpoint)
        with tracing.root("first", kind="server"):
            pass
        # So that the end, which waits for two seconds only, has an open connection.
        collector.wait_for("first")
        with tracing.root("hidden", kind="server", parent=f"00-{TRACE}-{PARENT}-00") as root, span("below"):
            assert root.traceparent.startswith(f"00-{TRACE}-")
            assert root.traceparent.endswith("-00")
        with tracing.root("shown", kind="server", parent="no traceparent at all"):
            pass
        tracing.close()

    assert [one.name for one in collector.spans] == ["first", "shown"]


def test_more_spans_than_the_queue_holds_are_counted_and_the_end_is_not_held_up() -> None:
    with run_black_hole() as endpoint:
        tracing = started(endpoint)
        with tracing.root("many", kind="internal"):
            for _ in range(6000):
                with span("one"):
                    pass
        ended = time.monotonic()
        tracing.close()
        seconds = time.monotonic() - ended

    wait_until(lambda: sum(result(tracing).values()) >= 6001, 60)
    assert result(tracing)["delivered"] == 0
    assert result(tracing)["queue_full"] >= 6001 - 4096 - 2 * 512
    # The SDK alone would wait for 30 s.
    assert seconds < 20


@pytest.mark.timeout(400)
def test_mlflow_takes_traces_at_its_own_address(mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its first answer may take longer than a send may.
    mlflow.call("experiments/search", {"max_results": 1})
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-mlflow-experiment-id=0")

    tracing = started(f"{mlflow.uri}/v1/traces")
    with (
        tracing.root("POST /v1/chat/completions", kind="server") as root,
        span("chat demo", {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5}),
    ):
        pass
    tracing.close()

    assert result(tracing) == {"delivered": 2, "queue_full": 0, "not_delivered": 0}
    body = {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]}
    found = httpx.post(f"{mlflow.uri}/api/3.0/mlflow/traces/search", json=body, timeout=60)
    assert f"tr-{root.trace_id}" in [trace["trace_id"] for trace in found.json()["traces"]]
