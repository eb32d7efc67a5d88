"""SIGTERM to the backend: readiness fails first, what is under way ends as promised, and the status is 0."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from fixtures.backend import RunningBackend, run_backend

ROW = b'{"text": "one line"}\n'
_HEAD = b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n\r\n'
UPLOAD = _HEAD + ROW * 200_000 + b"\r\n--boundary--\r\n"
MODEL = json.dumps({"name": "under-way", "base_model": "org/base"}).encode()


def _connect(backend: RunningBackend) -> socket.socket:
    host, _, port = backend.base_url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _request_lines(backend: RunningBackend, path: str, content_type: str) -> tuple[str, ...]:
    host = backend.base_url.removeprefix("http://")
    return (f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Type: {content_type}", "Connection: close")


def _begin(backend: RunningBackend, path: str, content_type: str, body: bytes) -> socket.socket:
    """A connection with half of a request's body in it, with which the server has begun."""
    connection = _connect(backend)
    lines = (*_request_lines(backend, path, content_type), f"Content-Length: {len(body)}")
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body[: len(body) // 2])
    # Its one event loop takes what came first first.
    assert backend.get("/health/live").status_code == 200
    return connection


def _send_for_ever(connection: socket.socket, chunk: bytes) -> None:
    while True:
        connection.sendall(chunk)


def _rest(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def _events(backend: RunningBackend) -> list[dict[str, Any]]:
    return [json.loads(line) for line in backend.log().splitlines()]


def test_a_request_that_is_under_way_is_done_and_new_ones_are_told_to_come_back(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend:
        with _begin(backend, "/api/v1/models", "application/json", MODEL) as connection:
            backend.process.send_signal(signal.SIGTERM)

            backend.wait_until(lambda: backend.get("/health/ready").status_code == 503, 60)
            refused = backend.post("/api/v1/models", {"name": "late", "base_model": "org/base"})
            connection.sendall(MODEL[len(MODEL) // 2 :])
            answer = _rest(connection)
        status = backend.process.wait(60)

    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"]
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert status == 0
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as again:
        assert [model["name"] for model in again.get("/api/v1/models").json()["items"]] == ["under-way"]


def test_an_upload_that_may_take_hours_is_told_to_come_back_and_leaves_nothing(tmp_path: Path) -> None:
    staging = tmp_path / "data/datasets/.staging"
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db", MLX_HUB_MAX_UPLOAD="50MB") as backend:
        with _begin(backend, "/api/v1/datasets", "multipart/form-data; boundary=boundary", UPLOAD) as connection:
            backend.wait_until(lambda: any(staging.glob("*/*")), 60)

            backend.process.send_signal(signal.SIGTERM)
            answer = _rest(connection)
        status = backend.process.wait(60)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in answer
    assert b"send it again once it is back" in answer
    assert status == 0
    assert not list(staging.glob("*"))


def test_a_sender_that_does_not_stop_holds_nothing_up(tmp_path: Path) -> None:
    staging = tmp_path / "data/datasets/.staging"
    rows = ROW * 100_000
    chunk = f"{len(rows):x}\r\n".encode() + rows + b"\r\n"
    head = f"{len(_HEAD):x}\r\n".encode() + _HEAD + b"\r\n"
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db", MLX_HUB_MAX_UPLOAD="1TB") as backend:
        with _connect(backend) as connection:
            lines = _request_lines(backend, "/api/v1/datasets", "multipart/form-data; boundary=boundary")
            connection.sendall("\r\n".join((*lines, "Transfer-Encoding: chunked")).encode() + b"\r\n\r\n" + head + chunk)
            backend.wait_until(lambda: any(staging.glob("*/*")), 60)

            backend.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionError):
                _send_for_ever(connection, chunk)
        status = backend.process.wait(60)

    assert status == 0
    assert [event for event in _events(backend) if event["level"] == "error"] == []


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with (
        run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend,
        _begin(backend, "/api/v1/models", "application/json", MODEL),
    ):
        backend.process.send_signal(signal.SIGTERM)
        backend.wait_until(lambda: backend.get("/health/ready").status_code == 503, 60)

        assert backend.stop(seconds=60) == 0

    # The first signal alone would wait for the request, and then end it by force.
    assert "timeout graceful shutdown exceeded" not in backend.log()
