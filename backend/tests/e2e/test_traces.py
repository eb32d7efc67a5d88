"""One trace, and the same ids in all logs, through command line, backend, worker, trainer and inference server."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from e2e.stack import REPO_ID, Platform, run_platform
from fixtures.backend import run_backend
from fixtures.collector import Collector, run_black_hole, run_grpc_collector
from fixtures.hub import run_hub
from fixtures.terminal import CommandLine
from fixtures.worker import run_worker
from mlx_hub.core.run_files import LOG_FILE

pytestmark = pytest.mark.timeout(600)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUEST_ID = f"asked-{uuid4().hex}"


@dataclass(frozen=True)
class Traced:
    platform: Platform
    collector: Collector
    cli: CommandLine


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    home = tmp_path_factory.mktemp("traced")
    with (
        run_grpc_collector() as collector,
        run_hub() as hub,
        run_platform(home, f"sqlite:///{home}/hub.db", hub, OTLP_ENDPOINT=collector.endpoint) as platform,
    ):
        command_line = CommandLine(platform.backend.base_url, platform.inference.base_url, str(home / "cli"))
        yield Traced(platform, collector, command_line)


def test_a_chat_of_the_command_line_is_the_root_of_what_the_inference_server_does(traced: Traced) -> None:
    done = traced.cli.run_process("chat", "-m", "hello", "--max-tokens", "4", OTLP_ENDPOINT=traced.collector.endpoint)

    assert done.status == 0, done.err
    root = traced.collector.wait_for("mlx-hub chat", "decode")[0]
    traced.collector.wait_for("POST /v1/chat/completions")
    assert root.service == "mlx-hub-cli"
    paths = traced.collector.paths(root.trace_id)
    request = "mlx-hub chat > POST /v1/chat/completions"
    engine = f"{request} > chat mlx-hub/demo"
    assert {"mlx-hub chat", request, f"{request} > render", f"{request} > tokenise", engine} <= paths
    assert {f"{engine} > {phase}" for phase in ("queue", "cache look-up", "prefill", "decode")} <= paths
    assert not any("?" in path for path in paths)


def test_a_download_of_the_command_line_is_one_trace_with_the_workers_part(traced: Traced) -> None:
    done = traced.cli.run_process("models", "pull", REPO_ID, OTLP_ENDPOINT=traced.collector.endpoint)

    assert done.status == 0, done.err
    root = traced.collector.wait_for("mlx-hub models", "download", "fetch")[0]
    paths = traced.collector.paths(root.trace_id)
    work = next(path for path in paths if path.endswith(" > download"))
    assert work.startswith("mlx-hub models > POST /api/v1/")
    assert {f"{work} > plan", f"{work} > fetch"} <= paths
    fetch = traced.collector.named("fetch")[0]
    assert fetch.service == "mlx-hub-worker"
    assert fetch.attributes["mlx.download.bytes"] > 0


def test_a_job_is_one_trace_and_one_request_id_from_the_post_to_the_served_adapter(traced: Traced) -> None:
    platform, collector = traced.platform, traced.collector
    body = {
        "model_id": platform.download(),
        "dataset_id": platform.upload(),
        "config": {"epochs": 1, "batch_size": 4, "lora_rank": 4, "validation_share": 0.0},
        "adapter_name": "traced",
    }
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": REQUEST_ID}
    job_id = platform.post("/training", body, status=201, headers=headers)["id"]
    platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")
    collector.wait_until(lambda: any(path.endswith(" > PUT /admin/models/{name:path}") for path in collector.paths(TRACE)))
    collector.wait_until(lambda: any(path.endswith("POST /api/v1/training > training") for path in collector.paths(TRACE)))

    work = "? > POST /api/v1/training > training"
    paths = collector.paths(TRACE)
    assert {f"{work} > {phase}" for phase in ("prepare", "train", "evaluate", "register", "serve")} <= paths
    assert f"{work} > serve > PUT inference > PUT /admin/models/{{name:path}}" in paths
    assert {span.service for span in collector.spans if span.trace_id == TRACE} == {
        "mlx-hub-backend",
        "mlx-hub-worker",
        "mlx-hub-inference",
    }
    (root,) = [span for span in collector.spans if span.trace_id == TRACE and span.name == "training"]
    assert root.attributes["mlx.work.id"] == job_id

    trainer = (platform.home / "data" / "runs" / job_id / LOG_FILE).read_text()
    for log, component in (
        (platform.backend.log(), "api"),
        (platform.worker.log(), "worker"),
        (platform.inference.log(), "api"),
    ):
        events = [event for event in _events(log) if event.get("request_id") == REQUEST_ID]
        assert events, log[-2000:]
        assert {event["component"] for event in events} == {component}
        assert {event["trace_id"] for event in events} == {TRACE}
    lines = [line for line in trainer.splitlines() if "training_started" in line or "training_ended" in line]
    assert len(lines) == 2
    assert all(f"request_id={REQUEST_ID}" in line and f"trace_id={TRACE}" in line for line in lines)
    assert all(" trainer " in line and f"job_id={job_id}" in line for line in lines)


def test_work_that_fails_says_so_in_its_span(traced: Traced) -> None:
    traced.platform.post("/models/download", {"repo_id": "org/nobody-has-this"}, status=202)

    traced.collector.wait_until(lambda: any(span.is_failed for span in traced.collector.named("download")))
    (failed,) = [span for span in traced.collector.named("download") if span.is_failed]
    assert failed.attributes["error.type"] == "not_found"


def test_the_worker_counts_what_became_of_its_spans(traced: Traced) -> None:
    done = traced.platform.backend.get("/metrics").text

    assert 'mlx_hub_trace_spans_total{result="delivered"}' in done
    assert 'mlx_hub_trace_spans_total{result="not_delivered"} 0.0' in done


def test_a_collector_that_never_answers_holds_up_neither_requests_nor_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with (
        run_black_hole() as endpoint,
        run_backend(tmp_path, url, OTLP_ENDPOINT=endpoint) as backend,
        run_worker(tmp_path, url, OTLP_ENDPOINT=endpoint) as worker,
    ):
        started = time.monotonic()
        for _ in range(20):
            assert backend.get("/api/v1/models").status_code == 200
        assert time.monotonic() - started < 60
        delivered_none = 'mlx_hub_trace_spans_total{result="not_delivered"} 0.0'
        backend.wait_until(lambda: delivered_none not in backend.get("/metrics").text, 60)

        started = time.monotonic()
        assert (backend.stop(), worker.stop()) == (0, 0)
        assert time.monotonic() - started < 25
        assert backend.log().count("traces_not_delivered") == 1


def _events(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]
