"""Fifteen minutes of figures and the list of requests, as a dashboard reads them."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.server import RunningServer, run_server

LONG = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 20_000, "ignore_eos": True}
SERIES = ("host_series", "process_series", "accelerator_series", "serving_series")


@pytest.fixture
def own_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """With a sensor program that tells a little, and a program path without any other."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nwhile true; do echo 'Test card, 42, [N/A], 100.5, 61, 1024, 2048'; /bin/sleep 0.5; done\n")
    program.chmod(0o755)
    with run_server(tmp_path / "home", tiny_models(), PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}") as server:
        yield server


def metrics(server: RunningServer, since: float | None = None) -> dict[str, Any]:
    response = server.get("/admin/system/metrics", params={} if since is None else {"since": since})
    assert response.status_code == 200, response.text
    return response.json()


def newest(body: dict[str, Any], series: str, name: str) -> Any:
    return body[series][name][-1] if body["times"] else None


def kinds(server: RunningServer) -> list[str]:
    return [event["kind"] for event in metrics(server)["events"]]


def has_value(series: str, name: str) -> Callable[[RunningServer], bool]:
    return lambda server: newest(metrics(server), series, name) is not None


def lists_of(series: dict[str, Any]) -> Iterator[list[Any]]:
    for value in series.values():
        yield from lists_of(value) if isinstance(value, dict) else [value]


def test_a_sample_a_second_in_columns_of_one_length(server: RunningServer) -> None:
    server.wait_until(lambda it: len(metrics(it)["times"]) > 3, 30)
    server.wait_until(has_value("host_series", "cpu_percent"), 30)
    body = metrics(server)

    times = body["times"]
    assert times == sorted(times)
    assert all(len(values) == len(times) for series in SERIES for values in lists_of(body[series]))
    assert (body["interval_seconds"], body["history_seconds"]) == (1, 900)
    assert 0 < newest(body, "host_series", "memory_used_bytes") < body["host"]["memory_total_bytes"]
    assert 0 < newest(body, "host_series", "disk_free_bytes") < body["host"]["disk_total_bytes"]
    assert newest(body, "process_series", "memory_bytes") > 2**20
    assert body["memory_limit_bytes"] > 0


def test_only_what_came_later_is_told_again(server: RunningServer) -> None:
    server.wait_until(lambda it: bool(metrics(it)["times"]), 30)
    first = metrics(server)
    last = first["times"][-1]

    server.wait_until(lambda it: bool(metrics(it, last)["times"]), 30)
    later = metrics(server, last)

    assert all(at > last for at in later["times"])
    assert len(later["times"]) < 30
    assert all(event["at"] > last for event in later["events"])
    assert metrics(server, time.time() + 3600)["times"] == []
    assert server.get("/admin/system/metrics", params={"since": -1}).status_code == 400
    assert server.get("/admin/system/metrics", params={"since": "nan"}).status_code == 400


def test_sensors_tell_what_they_know_and_null_for_the_rest(own_server: RunningServer) -> None:
    server = own_server
    server.wait_until(has_value("accelerator_series", "utilization_percent"), 30)
    body = metrics(server)

    assert body["accelerator"] == {"provider": "nvidia-smi", "name": "Test card", "reason": None}
    told = {name: values[-1] for name, values in body["accelerator_series"].items()}
    assert (told["utilization_percent"], told["power_watts"], told["temperature_celsius"]) == (42, 100.5, 61)
    assert (told["memory_used_bytes"], told["memory_total_bytes"]) == (2**30, 2**31)
    assert (told["frequency_mhz"], told["system_power_watts"]) == (None, None)


def test_figures_and_events_follow_the_engine(own_server: RunningServer) -> None:
    server = own_server
    server.wait_until(lambda it: "engine_started" in kinds(it), 30)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.post, "/v1/chat/completions", LONG, headers={"x-request-id": "figures"})
        server.wait_until(lambda it: (newest(metrics(it), "serving_series", "decode_tokens_per_second") or 0) > 0, 60)
        body = metrics(server)
        assert newest(body, "serving_series", "running") == 1
        assert newest(body, "serving_series", "ttft_p50_seconds") > 0
        assert newest(body, "accelerator_series", "mlx_active_bytes") > 0
        assert server.post("/v1/requests/figures/cancel").status_code == 200
        assert answer.result(60).status_code == 499
    assert "model_loaded" in kinds(server)
    reasons = metrics(server)["serving_series"]["misses_by_reason"]
    assert sum(values[-1] or 0 for values in reasons.values()) >= 1

    loaded = next(event["subject"] for event in metrics(server)["events"] if event["kind"] == "model_loaded")
    server.wait_until(lambda it: it.post(f"/admin/models/{loaded}/unload").status_code in (200, 404), 30)
    server.wait_until(lambda it: "model_unloaded" in kinds(it), 30)


def test_an_engine_that_went_down_leaves_a_gap_and_a_mark(own_server: RunningServer) -> None:
    server = own_server
    server.wait_until(has_value("serving_series", "running"), 30)

    os.kill(server.engine()["pid"], signal.SIGKILL)

    server.wait_until(lambda it: kinds(it).count("engine_started") == 2, 60)
    server.wait_until(has_value("serving_series", "running"), 30)
    assert None in metrics(server)["serving_series"]["running"]


def test_requests_are_listed_without_their_words(server: RunningServer) -> None:
    secret = "The zebra's name is Ottokar."
    body = {**LONG, "messages": [{"role": "user", "content": secret}], "stream": True}
    with httpx.stream(
        "POST", f"{server.base_url}/v1/chat/completions", json=body, headers={"x-request-id": "listed-1"}, timeout=60
    ) as response:
        lines = response.iter_lines()
        next(lines)
        server.wait_until(lambda it: _listed(it, "listed-1")["generated_tokens"] > 2, 30)
        found = _listed(server, "listed-1")

        assert found["phase"] == "decode"
        assert found["prefilled_tokens"] == found["prompt_tokens"] > 0
        assert found["cached_tokens"] is not None
        assert (found["age_seconds"] > 0, found["is_warmup"]) == (True, False)
        assert "zebra" not in json.dumps(server.get("/admin/requests").json())
        assert server.post("/v1/requests/listed-1/cancel").status_code == 200
    server.wait_until(lambda it: it.get("/admin/requests").json()["requests"] == [], 30)


def _listed(server: RunningServer, request_id: str) -> dict[str, Any]:
    requests = server.get("/admin/requests").json()["requests"]
    return next((request for request in requests if request["id"] == request_id), {"generated_tokens": 0})
