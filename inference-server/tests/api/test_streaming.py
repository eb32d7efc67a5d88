"""Frames on the wire, clients that leave, and clients that are too many."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.server import RunningServer, run_server

LONG = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 20_000, "ignore_eos": True}


def is_idle(server: RunningServer) -> bool:
    engine = server.engine()
    return engine["requests_in_flight"] == 0 and engine["requests_running"] == 0 and engine["requests_waiting"] == 0


def test_each_event_is_one_data_line_and_the_last_is_done(server: RunningServer) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6, "stream": True}

    response = server.post("/v1/chat/completions", body)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-cache"] in {"hit", "partial", "miss"}
    assert "content-length" not in response.headers
    frames = response.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    assert events[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_stream_that_is_left_stops_in_the_engine(server: RunningServer, path: str) -> None:
    body = LONG if "chat" in path else {"prompt": "Count.", "max_tokens": 20_000, "ignore_eos": True}
    with httpx.stream("POST", server.base_url + path, json={**body, "stream": True}, timeout=30) as response:
        lines = response.iter_lines()
        for _ in range(10):
            next(lines)
        assert server.engine()["requests_in_flight"] == 1

    server.wait_until(is_idle, 5)


def test_a_whole_answer_that_is_left_stops_in_the_engine(server: RunningServer) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.base_url + "/v1/chat/completions", json=LONG, timeout=1)

    server.wait_until(is_idle, 5)


def test_many_prompts_that_are_left_stop_in_the_engine(server: RunningServer) -> None:
    body = {"prompt": [f"Count {number}." for number in range(20)], "max_tokens": 20_000, "ignore_eos": True}

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.base_url + "/v1/completions", json=body, timeout=1)

    server.wait_until(is_idle, 5)


def test_a_header_that_never_ends_is_cut(server: RunningServer) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        started = time.monotonic()

        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""

        assert time.monotonic() - started < 8


@pytest.mark.slow
def test_a_client_that_stops_reading_is_cut(server: RunningServer) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    body = json.dumps({**LONG, "n": 8, "logprobs": True, "top_logprobs": 20, "stream": True})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect((host, int(port)))
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        server.wait_until(lambda it: it.engine()["requests_in_flight"] == 1)

        server.wait_until(is_idle, 60)


@pytest.fixture
def small_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """One that decodes one row and lets two wait."""
    with run_server(tmp_path, tiny_models(), MLX_MAX_BATCH_SIZE="1", MLX_MAX_QUEUE="2") as server:
        yield server


def test_beyond_the_queue_a_request_is_told_to_come_back(small_server: RunningServer) -> None:
    async def statuses() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=small_server.base_url, timeout=60) as client:
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200, "ignore_eos": True, "stream": True}
            return list(await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(12))))

    responses = asyncio.run(statuses())

    refused = [response for response in responses if response.status_code == 429]
    served = [response for response in responses if response.status_code == 200]
    assert len(served) >= 3
    assert len(served) + len(refused) == 12
    assert all(response.text.endswith("data: [DONE]\n\n") for response in served)
    assert refused
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    assert {response.json()["error"]["code"] for response in refused} == {"queue_full"}


def test_an_engine_that_dies_leaves_an_error_frame_and_comes_back(small_server: RunningServer) -> None:
    first_pid = small_server.engine()["pid"]
    lines: list[str] = []
    url = small_server.base_url + "/v1/chat/completions"
    with httpx.stream("POST", url, json={**LONG, "stream": True}, timeout=30) as response:
        for line in response.iter_lines():
            if not lines:
                kill(first_pid)
            lines.append(line)

    last = [line for line in lines if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_down"
    small_server.wait_until(lambda it: it.get("/health/ready").status_code == 200, 20)
    assert small_server.engine()["pid"] != first_pid
    assert small_server.chat("Hi", max_tokens=3).status_code == 200
    restarts = re.search(r"^mlx_engine_restarts_total (\S+)", small_server.get("/metrics").text, re.MULTILINE)
    assert restarts is not None
    assert float(restarts[1]) == 1


def kill(pid: int) -> None:
    """As a crash in a kernel would."""
    os.kill(pid, signal.SIGSEGV)
