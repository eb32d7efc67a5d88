"""What a client may send, how much and how slowly, on the socket itself."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import httpx
import psutil
import pytest
from fixtures.backend import RunningBackend
from fixtures.keys import OPERATORS_KEY

HUGE = 300 * 2**20
CHUNK = b"x" * 2**20
MAX_GROWTH = 32 * 2**20
HEADER_SECONDS = 5.0


def _connect(backend: RunningBackend) -> socket.socket:
    url = httpx.URL(backend.base_url)
    connection = socket.create_connection((url.host, url.port or 0), timeout=60)
    # Read slower than it is written, and the answer is not seen before the end.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body, which may come in any number of pieces."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status, answer.read()


def _seconds_until_closed(connection: socket.socket) -> float:
    began = time.monotonic()
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_header_that_is_not_complete_is_cut_after_five_seconds(open_backend: RunningBackend, sent: bytes) -> None:
    with _connect(open_backend) as connection:
        connection.sendall(sent)
        seconds = _seconds_until_closed(connection)

    assert HEADER_SECONDS - 1 < seconds < HEADER_SECONDS + 20


def test_a_byte_now_and_then_does_not_buy_more_time(open_backend: RunningBackend) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not stop.wait(0.5):
            try:
                connection.sendall(b"a")
            except OSError:
                return

    with _connect(open_backend) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        thread = threading.Thread(target=drip, args=(connection,))
        thread.start()
        seconds = _seconds_until_closed(connection)
        stop.set()
        thread.join()

    assert seconds < HEADER_SECONDS + 20


def test_the_next_request_of_a_connection_has_a_deadline_too_and_a_quick_one_is_served(open_backend: RunningBackend) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with _connect(open_backend) as connection:
        for _ in range(2):
            connection.sendall(request)
            assert _answer(connection) == (200, b'{"status":"alive"}')
        connection.sendall(request[:20])
        seconds = _seconds_until_closed(connection)

    assert HEADER_SECONDS - 1 < seconds < HEADER_SECONDS + 20


def test_headers_beyond_the_limit_are_refused_as_a_problem(open_backend: RunningBackend) -> None:
    with _connect(open_backend) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"x" * 200_000)
        status, body = _answer(connection)

    assert (status, json.loads(body)["code"]) == (400, "invalid_input")


def test_what_is_no_http_is_refused_as_a_problem(open_backend: RunningBackend) -> None:
    with _connect(open_backend) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n")
        status, body = _answer(connection)

    assert (status, json.loads(body)["code"]) == (400, "invalid_input")


class _Memory:
    """The most that a process has held since the block began, beyond what it held then."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self._done = threading.Event()
        self.growth = 0

    def __enter__(self) -> "_Memory":
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.growth = max(self.growth, self._process.memory_info().rss - self._before)


def _send_huge(backend: RunningBackend, head: str, *, is_chunked: bool) -> bytes:
    """What is answered to a body of 300 MB, or to as much of it as the server takes."""
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {HUGE}"
    with _connect(backend) as connection:
        connection.sendall(f"{head}\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        try:
            for _ in range(HUGE // len(CHUNK)):
                connection.sendall(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK) if is_chunked else CHUNK)
        except ConnectionError:
            pass
        answer = b""
        while b"\r\n" not in answer and (data := connection.recv(65536)):
            answer += data
        return answer


@pytest.fixture(scope="module")
def answers(guarded: RunningBackend) -> Iterator[dict[str, tuple[list[bytes], int]]]:
    """Of each kind of huge request: the answers to three at once, and by how much the memory of the server grew."""
    key = f"Authorization: Bearer {OPERATORS_KEY}"
    content = "Content-Type: application/json"
    form = "Content-Type: multipart/form-data; boundary=x"
    kinds = {
        "json": (f"POST /api/v1/models HTTP/1.1\r\n{key}\r\n{content}", False),
        "json in chunks": (f"POST /api/v1/models HTTP/1.1\r\n{key}\r\n{content}", True),
        "upload": (f"POST /api/v1/datasets HTTP/1.1\r\n{key}\r\n{form}", False),
        "upload in chunks": (f"POST /api/v1/datasets HTTP/1.1\r\n{key}\r\n{form}", True),
        "a stranger's": (f"POST /api/v1/datasets HTTP/1.1\r\n{form}", True),
    }
    found: dict[str, tuple[list[bytes], int]] = {}
    with ThreadPoolExecutor(3) as pool:
        for name, (head, is_chunked) in kinds.items():
            with _Memory(guarded.process.pid) as memory:
                sent = [pool.submit(_send_huge, guarded, head, is_chunked=is_chunked) for _ in range(3)]
                texts = [future.result() for future in sent]
            found[name] = (texts, memory.growth)
    return found


@pytest.mark.parametrize(
    ("kind", "status"),
    [("json", 413), ("json in chunks", 413), ("upload", 413), ("upload in chunks", 413), ("a stranger's", 401)],
)
def test_a_body_of_300_mb_is_refused_and_takes_no_memory(
    answers: dict[str, tuple[list[bytes], int]], kind: str, status: int
) -> None:
    texts, growth = answers[kind]

    assert {text[:12] for text in texts} == {f"HTTP/1.1 {status}".encode()}, texts
    assert growth < MAX_GROWTH
