"""`/metrics` of a process that serves nothing else: a thread with a port of its own."""

import hmac
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from mlx_hub.observability.metrics import CONTENT_TYPE

_SECONDS = 10.0
"""For a client to send its request."""


@contextmanager
def serving_metrics(
    host: str, port: int, render: Callable[[], bytes], *, hosts: frozenset[str], key: str | None = None
) -> Generator[str]:
    """The address at which they are served inside the block; port 0 takes a free one.

    `hosts` are the names that clients may call this machine by; with a `key` they must show it. Raises OSError when the
    port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS
        server_version = "mlx-hub"
        sys_version = ""

        def do_GET(self) -> None:
            named = urlsplit(f"//{self.headers.get('Host', '')}").hostname
            if named not in hosts and named != self.connection.getsockname()[0]:
                self._answer(HTTPStatus.FORBIDDEN, b"The Host header does not name this machine.\n")
            elif key is not None and not self._shows(key):
                self._answer(HTTPStatus.UNAUTHORIZED, b"Send MLX_HUB_API_KEY as Authorization: Bearer <key> or x-api-key.\n")
            elif self.path.partition("?")[0] != "/metrics":
                self._answer(HTTPStatus.NOT_FOUND, b"Only /metrics is here.\n")
            else:
                self._answer(HTTPStatus.OK, render())

        def _shows(self, wanted: str) -> bool:
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            given = token.strip() if scheme.lower() == "bearer" else self.headers.get("X-Api-Key", "")
            return hmac.compare_digest(given.encode(), wanted.encode())

        def _answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE if status == HTTPStatus.OK else "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            if status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape is not worth a line."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
