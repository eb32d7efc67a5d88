"""What a client may make the server hold: bodies, headers and time, with the memory that each costs."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from fixtures.server import RunningServer, run_server

HUGE_BYTES = 300 * 10**6
MAX_GROWTH_BYTES = 48 * 2**20
"""The body may reach 8 MiB, which lie in the process a few times over; uvicorn alone takes more than 600 MiB."""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("limits"), tiny_models(), "--api-only") as server:
        yield server


@contextmanager
def connection_to(server: RunningServer) -> Iterator[socket.socket]:
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


@contextmanager
def flat_memory(server: RunningServer) -> Iterator[None]:
    """Fails if the API process ever held much more than at the beginning."""
    process = psutil.Process(server.process.pid)
    before = peak = process.memory_info().rss
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    assert peak - before < MAX_GROWTH_BYTES


def answer_to(connection: socket.socket, head: str, parts: Iterator[bytes]) -> bytes:
    """Sends until the server has had enough, and reads what it said."""
    answer: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with contextlib.suppress(OSError):
        connection.sendall(head.encode())
        for part in parts:
            connection.sendall(part)
    reader.join(60)
    return b"".join(answer)


HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_300_megabytes_is_a_413_and_costs_no_memory(limited: RunningServer, is_chunked: bool) -> None:
    part = b"x" * 2**18
    num_parts = HUGE_BYTES // len(part)
    head = HEAD + ("Transfer-Encoding: chunked\r\n\r\n" if is_chunked else f"Content-Length: {HUGE_BYTES}\r\n\r\n")
    framed = b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part

    with flat_memory(limited), connection_to(limited) as connection:
        answer = answer_to(connection, head, (framed for _ in range(num_parts)))

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"payload_too_large" in answer
    assert limited.get("/health").status_code == 200


@pytest.mark.parametrize("shape", ["one long line", "many lines", "a long path"])
def test_a_header_without_an_end_is_cut_and_costs_no_memory(limited: RunningServer, shape: str) -> None:
    head = "GET / HTTP/1.1\r\nHost: localhost\r\n"
    part = {"one long line": "a" * 2**16, "many lines": "X-Line: a\r\n" * 6000, "a long path": "a" * 2**16}[shape].encode()
    start = {"one long line": head + "X-Long: ", "many lines": head, "a long path": "GET /"}[shape]

    with flat_memory(limited), connection_to(limited) as connection:
        answer = answer_to(connection, start, (part for _ in range(3000)))

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-content-type-options: nosniff" in answer.lower()
    assert limited.get("/health").status_code == 200


def test_a_header_of_ordinary_size_is_taken(limited: RunningServer) -> None:
    assert limited.get("/health", headers={"x-long": "a" * 8000}).status_code == 200


def test_headers_that_trickle_in_are_cut_after_five_seconds(limited: RunningServer) -> None:
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection_to(limited)) for _ in range(50)]
        for connection in slow:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        while time.monotonic() - started < 4:
            for connection in slow:
                connection.sendall(b"X-Slow: 1\r\n")
            time.sleep(0.5)
            assert limited.get("/health").status_code == 200

        ends = [_end_of(connection, started) for connection in slow]

    assert all(3.5 < seconds < 5 + 10 for seconds in ends)


def _end_of(connection: socket.socket, started: float) -> float:
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(100) == b""
    return time.monotonic() - started


def test_a_body_that_trickles_in_is_refused_in_time(limited: RunningServer) -> None:
    started = time.monotonic()
    with connection_to(limited) as connection:
        connection.sendall((HEAD + "Content-Length: 1000\r\n\r\n{").encode())
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400")
    assert time.monotonic() - started < 10 + 20
