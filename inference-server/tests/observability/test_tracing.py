"""Spans of the real server, received over real OTLP."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fixtures.collector import (
    Collector,
    ReceivedSpan,
    refused_endpoint,
    run_black_hole,
    run_grpc_collector,
    run_http_collector,
)
from fixtures.server import RunningServer, run_server
from unified_mlx_app.server import read_settings

SYSTEM = "You answer in one short line. " * 12
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLIENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
ROOT = "POST /v1/chat/completions"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with run_grpc_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path], collector: Collector
) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("traced"), tiny_models(), OTLP_ENDPOINT=collector.endpoint) as running:
        yield running


def chat(server: RunningServer, question: str, **options: object) -> httpx.Response:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, **options}, headers=CLIENT)


def spans_of(collector: Collector, answer: httpx.Response) -> dict[str, ReceivedSpan]:
    """Those of one request by name, once its root has come; the engine's is `engine`."""

    def roots() -> list[ReceivedSpan]:
        return [one for one in collector.spans if one.attributes.get("mlx.request_id") == answer.headers["x-request-id"]]

    collector.wait_until(lambda: bool(roots()))
    found = {"root": (root := roots()[0])}
    pending = [root]
    while pending:
        parent = pending.pop()
        for child in [one for one in collector.spans if one.parent_id == parent.span_id]:
            found["engine" if "gen_ai.operation.name" in child.attributes else child.name] = child
            pending.append(child)
    return found


def test_a_chat_is_one_tree_from_the_clients_span_to_decode(traced: RunningServer, collector: Collector) -> None:
    spans = spans_of(collector, chat(traced, "Who?"))

    assert spans["root"].name == ROOT
    assert (spans["root"].trace_id, spans["root"].parent_id) == (TRACE, PARENT)
    assert spans["root"].service == "mlx-hub-inference"
    assert {"render", "tokenise", "engine", "queue", "cache look-up", "prefill", "decode"} <= spans.keys()
    for name in ("queue", "cache look-up", "prefill", "decode"):
        assert spans[name].parent_id == spans["engine"].span_id
    for name, span in spans.items():
        assert span.trace_id == TRACE
        assert spans["root"].start_ns <= span.start_ns <= span.end_ns <= spans["root"].end_ns, name


def test_the_phases_of_the_engine_follow_each_other(traced: RunningServer, collector: Collector) -> None:
    spans = spans_of(collector, chat(traced, "When?", stream=True))

    names = ["queue", "cache look-up", "prefill", "decode"]
    times = [(spans[name].start_ns, spans[name].end_ns) for name in names]
    assert times[0][0] == spans["engine"].start_ns
    assert all(end == start for (_, end), (start, _) in pairwise(times))
    assert times[-1][1] <= spans["engine"].end_ns
    assert spans["decode"].end_ns > spans["decode"].start_ns
    assert spans["prefill"].end_ns > spans["prefill"].start_ns


def test_spans_tell_the_model_its_tokens_and_what_the_cache_did(traced: RunningServer, collector: Collector) -> None:
    traced.post("/admin/cache/prompts/clear")
    first, second = chat(traced, "First"), chat(traced, "Second")

    cold, warm = spans_of(collector, first), spans_of(collector, second)
    usage = second.json()["usage"]
    engine = warm["engine"].attributes
    assert engine["gen_ai.operation.name"] == "chat"
    assert engine["gen_ai.request.model"] == second.json()["model"]
    assert warm["engine"].name == f"chat {second.json()['model']}"
    assert engine["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert engine["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert engine["gen_ai.usage.cache_read.input_tokens"] == usage["prompt_tokens_details"]["cached_tokens"] > 0
    assert engine["gen_ai.response.finish_reasons"] == [second.json()["choices"][0]["finish_reason"]]
    looked_up = warm["cache look-up"].attributes
    assert (looked_up["mlx.cache.outcome"], looked_up["mlx.cache.tier"]) == ("hit", "memory")
    assert cold["cache look-up"].attributes["mlx.cache.outcome"] == "miss"
    assert cold["cache look-up"].attributes["mlx.cache.miss_reason"] == first.headers["x-cache-reason"]
    computed = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert warm["prefill"].attributes["mlx.prefill.computed_tokens"] == computed


def test_a_restart_shows_the_restoring_of_the_prefix_from_disk(
    tmp_path: Path, tiny_models: Callable[..., Path], collector: Collector
) -> None:
    with run_server(tmp_path, tiny_models()) as before:
        chat(before, "Before")
        assert before.stop() == 0

    with run_server(tmp_path, tiny_models(), OTLP_ENDPOINT=collector.endpoint) as after:
        spans = spans_of(collector, chat(after, "After"))

    assert spans["cache look-up"].attributes["mlx.cache.tier"] == "disk"
    assert spans["restore"].end_ns > spans["restore"].start_ns
    assert spans["restore"].start_ns >= spans["cache look-up"].end_ns
    assert spans["prefill"].start_ns == spans["restore"].end_ns


def test_embeddings_and_completions_are_named_by_their_operation(traced: RunningServer, collector: Collector) -> None:
    text = spans_of(collector, traced.post("/v1/completions", {"prompt": "Once", "max_tokens": 3}))
    vector = spans_of(collector, traced.post("/v1/embeddings", {"input": "Once"}))

    assert text["engine"].attributes["gen_ai.operation.name"] == "text_completion"
    assert "tokenise" in text
    assert vector["engine"].attributes["gen_ai.operation.name"] == "embeddings"
    assert "decode" not in vector


def test_errors_are_named_and_their_words_stay_out(traced: RunningServer, collector: Collector) -> None:
    unknown = traced.post("/v1/chat/completions", {"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]})
    lost = traced.get("/no/such/route?key=value")

    assert spans_of(collector, unknown)["root"].attributes["http.response.status_code"] == 404
    nowhere = spans_of(collector, lost)["root"]
    assert nowhere.name == "GET"
    assert "value" not in str(nowhere.attributes)


def test_a_client_that_leaves_ends_its_spans(traced: RunningServer, collector: Collector) -> None:
    body = {"messages": [{"role": "user", "content": "long"}], "max_tokens": 3000, "stream": True, "ignore_eos": True}
    num_before = len(collector.named(ROOT))

    with httpx.stream("POST", f"{traced.base_url}/v1/chat/completions", json=body, timeout=30) as response:
        next(response.iter_lines())
    collector.wait_until(lambda: len(collector.named(ROOT)) > num_before)

    root = collector.named(ROOT)[-1]
    engine = next(
        span for span in collector.spans if span.parent_id == root.span_id and "gen_ai.operation.name" in span.attributes
    )
    assert "gen_ai.response.finish_reasons" not in engine.attributes
    assert 0 < engine.attributes["gen_ai.usage.output_tokens"] < 3000


def test_probes_and_scrapes_are_not_traced_and_lost_spans_are_counted(traced: RunningServer, collector: Collector) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        traced.get(path)
    spans_of(collector, traced.get("/v1/models"))

    assert not [span.name for span in collector.spans if "health" in span.name or "metrics" in span.name]
    counts = traced.get("/metrics").text
    assert 'mlx_trace_spans_total{result="queue_full"} 0.0' in counts
    assert 'mlx_trace_spans_total{result="not_delivered"} 0.0' in counts


def test_log_events_of_a_request_tell_its_trace(traced: RunningServer) -> None:
    answer = chat(traced, "Logged?")

    traced.wait_until(lambda it: answer.headers["x-request-id"] in it.log())
    line = next(line for line in traced.log().splitlines() if answer.headers["x-request-id"] in line)
    assert f'"trace_id": "{TRACE}"' in line


def test_an_endpoint_with_a_path_gets_otlp_over_http_with_the_headers_of_the_environment(
    tmp_path: Path, tiny_models: Callable[..., Path]
) -> None:
    with run_http_collector() as collector:
        variables = {"OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0"}
        with run_server(tmp_path, tiny_models(), **variables) as server:
            spans = spans_of(collector, chat(server, "Over HTTP?"))

    assert "decode" in spans
    assert collector.headers[0]["x-mlflow-experiment-id"] == "0"


@pytest.mark.parametrize("kind", ["grpc", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("http", "refused"))])
def test_a_collector_that_is_none_costs_only_the_spans(kind: str, tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with contextlib.ExitStack() as stack:
        endpoint = refused_endpoint() if kind == "refused" else stack.enter_context(run_black_hole())
        endpoint += "/v1/traces" if kind == "http" else ""
        server = stack.enter_context(run_server(tmp_path, tiny_models(), OTLP_ENDPOINT=endpoint))
        chat(server, "Warm up")

        started = time.monotonic()
        for _ in range(20):
            assert server.get("/v1/models").status_code == 200
        assert time.monotonic() - started < 10
        assert chat(server, "Still there?").status_code == 200
        server.wait_until(lambda it: not it.get("/metrics").text.count('mlx_trace_spans_total{result="not_delivered"} 0.0'), 30)

        started = time.monotonic()
        assert server.stop() == 0
        # Two seconds of listening after SIGTERM, two for the spans, and what the engine takes to end.
        assert time.monotonic() - started < 15
        assert server.log().count("traces_not_delivered") == 1


def test_without_an_endpoint_opentelemetry_is_not_imported() -> None:
    program = (
        "import sys; from unified_mlx_app.app import create_app; from unified_mlx_app.config import Settings; "
        "create_app(Settings()); print([name for name in sys.modules if name.startswith(('grpc', 'opentelemetry.sdk'))])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("endpoint", ["localhost:4317", "ftp://x", "http://", "http://me:hidden-word@x:4317", "http://x:99999"])
def test_an_address_that_is_none_stops_the_start_without_being_told(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTLP_ENDPOINT", endpoint)

    with pytest.raises(SystemExit) as ended:
        read_settings(None, None)

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("OTLP_ENDPOINT: ")
    assert "hidden-word" not in told


def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_ENDPOINT", " ")

    assert read_settings(None, None).otlp_endpoint is None
