"""A request's life from outside: cancelled by its id, given up at its own deadline, kept alive while its prompt is long."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fixtures.server import RunningServer, run_server

CHAT = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 20_000, "ignore_eos": True}
SEVERAL = {"prompt": ["Count.", "Count on.", "And on."], "max_tokens": 20_000, "ignore_eos": True}
SCORED = {"prompt": [[40] * 30_000], "max_tokens": 0, "echo": True, "logprobs": 1}
EMBEDDED = {"input": [[40] * 20_000] * 20}


def is_idle(server: RunningServer) -> bool:
    engine = server.engine()
    return engine["requests_in_flight"] == 0 and engine["requests_running"] == 0 and engine["requests_waiting"] == 0


def is_busy(server: RunningServer) -> bool:
    return server.engine()["requests_in_flight"] > 0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", CHAT), ("/v1/completions", SEVERAL), ("/v1/completions", SCORED), ("/v1/embeddings", EMBEDDED)],
    ids=["chat", "several prompts", "scored", "embedded"],
)
def test_a_request_is_cancelled_by_its_id(
    server: RunningServer, pool: ThreadPoolExecutor, path: str, body: dict[str, object]
) -> None:
    server.wait_until(is_idle, 60)
    answer: Future[httpx.Response] = pool.submit(server.post, path, body, headers={"x-request-id": "job-1"})
    server.wait_until(is_busy, 30)

    cancelled = server.post("/v1/requests/job-1/cancel")

    assert cancelled.status_code == 200
    assert cancelled.json() == {"id": "job-1", "object": "request", "status": "cancelled"}
    response = answer.result(30)
    assert response.status_code == 499
    assert response.json()["error"]["code"] == "request_cancelled"
    server.wait_until(is_idle, 30)
    assert server.post("/v1/requests/job-1/cancel").status_code == 404


def test_a_stream_that_is_cancelled_by_its_id_ends_with_an_error_frame(server: RunningServer) -> None:
    with httpx.stream("POST", f"{server.base_url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=60) as response:
        lines = (line for line in response.iter_lines() if line)
        next(lines)
        assert server.post(f"/v1/requests/{response.headers['x-request-id']}/cancel").status_code == 200
        rest = list(lines)

    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "request_cancelled"
    assert "data: [DONE]" not in rest
    server.wait_until(is_idle, 30)


@pytest.mark.parametrize("request_id", ["never-seen", "x" * 64, "%20", "a%2Fb"])
def test_an_id_that_nothing_runs_under_is_a_404(server: RunningServer, request_id: str) -> None:
    response = server.post(f"/v1/requests/{request_id}/cancel")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", CHAT), ("/v1/completions", SEVERAL), ("/v1/embeddings", EMBEDDED)],
    ids=["chat", "several prompts", "embedded"],
)
def test_a_request_is_given_up_at_its_own_deadline(server: RunningServer, path: str, body: dict[str, object]) -> None:
    response = server.post(path, {**body, "timeout": 0.3})

    assert response.status_code == 408
    assert response.json()["error"]["code"] == "deadline_exceeded"
    server.wait_until(is_idle, 30)


def test_a_stream_at_its_deadline_ends_with_an_error_frame(server: RunningServer) -> None:
    response = server.post("/v1/chat/completions", {**CHAT, "stream": True, "timeout": 0.3})

    assert response.status_code == 200
    assert json.loads(response.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "deadline_exceeded"


@pytest.fixture
def hasty_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path, tiny_models(), MLX_REQUEST_TIMEOUT_SECONDS="0.5") as server:
        yield server


def test_nobody_waits_longer_than_the_server_allows(hasty_server: RunningServer) -> None:
    response = hasty_server.post("/v1/chat/completions", {**CHAT, "timeout": 3600})

    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert "0.5" in response.json()["error"]["message"]


def test_a_stream_is_kept_alive_while_its_prompt_is_computed(server: RunningServer) -> None:
    pid = server.engine()["pid"]
    body = {"prompt": [41] * 30_000, "max_tokens": 1, "stream": True}
    with httpx.stream("POST", f"{server.base_url}/v1/completions", json=body, timeout=60) as response:
        os.kill(pid, signal.SIGSTOP)  # The chunk that it computes takes long.
        try:
            line = next(line for line in response.iter_lines() if line)
        finally:
            os.kill(pid, signal.SIGCONT)

    assert line == ": keep-alive"
    server.wait_until(is_idle, 60)
