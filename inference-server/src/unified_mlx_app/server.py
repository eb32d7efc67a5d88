"""The command line and the life of the API process: settings, socket, signals, drain."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog
import uvicorn
from pydantic import ValidationError

from unified_mlx_app.api.http_protocol import DeadlineH11Protocol
from unified_mlx_app.app import create_app
from unified_mlx_app.config import Settings
from unified_mlx_app.db import async_url
from unified_mlx_app.observability.logs import configure_logs
from unified_mlx_app.services.api_keys import DATABASE_ERRORS, has_active_key
from unified_mlx_app.services.lifecycle import Lifecycle

log = structlog.get_logger(__name__)

_HELP = """OpenAI-compatible inference server for MLX with a durable, verified prompt cache.

examples:
  python -m unified_mlx_app.main                 API and a small chat page on http://127.0.0.1:8080
  python -m unified_mlx_app.main --api-only      API only
  MLX_TEXT_MODEL=mlx-community/Llama-3.2-1B-Instruct-4bit python -m unified_mlx_app.main

  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"messages": [{"role": "user", "content": "Hello"}]}'

environment (defaults in brackets):
"""
_LISTENING_SECONDS = 2.0
"""After SIGTERM the port stays open for so long, so that clients of a load balancer get a 503 and not a reset."""
_UNREAD_SECONDS = 3
"""For answers, whole or cut, whose client is slow to read their end."""

_REACHED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""An address by which to reach what listens on all of them; no client may call a server by the one that means all."""


def _parser() -> argparse.ArgumentParser:
    lines = [
        f"  {_variable(name):34} {field.description or ''} [{field.get_default()}]"
        for name, field in Settings.model_fields.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m unified_mlx_app.main",
        description=_HELP + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--api-only", action="store_true", help="serve no chat page at /")
    parser.add_argument("--host", help="address to listen on; goes before MLX_HOST")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one; goes before MLX_API_PORT")
    return parser


def _variable(field_name: str) -> str:
    alias = Settings.model_fields[field_name].validation_alias
    return alias if isinstance(alias, str) else f"MLX_{field_name.upper()}"


def read_settings(host: str | None, port: int | None) -> Settings:
    """Settings of the environment under those of the command line. Exits with status 2, naming what is wrong."""
    given: dict[str, Any] = {name: value for name, value in {"host": host, "api_port": port}.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = str(problem["loc"][0])
            sys.stderr.write(f"{_variable(name) if name in Settings.model_fields else name}: {problem['msg']}\n")
        raise SystemExit(2) from None
    return settings


def require_a_key(settings: Settings) -> None:
    """Exits with status 2 if other machines could connect and nobody has a key."""
    if settings.is_loopback or settings.api_key is not None:
        return
    try:
        if asyncio.run(has_active_key(async_url(settings.database_url))):
            return
        found = "there is none"
    except (ValueError, *DATABASE_ERRORS) as error:
        found = f"the database cannot be read ({type(error).__name__})"
    sys.stderr.write(
        f"MLX_HOST={settings.host} lets other machines connect, so an API key is needed, and {found}: make one with "
        "mlx-hub keys create, or set MLX_API_KEY to a random string of at least 16 characters, or listen on 127.0.0.1.\n"
    )
    raise SystemExit(2)


class DrainingServer(uvicorn.Server):
    """On the first signal readiness fails, running requests finish, and the process ends with status 0 when its time is over.

    On a second signal nobody is waited for. Uvicorn alone would close the port at the first signal, cut
    streams without a word, and raise the signal again at the end.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._asked = threading.Event()
        self.on_started: Callable[[], None] = lambda: None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        threading.Thread(target=self._end_in_time, name="shutdown-deadline", daemon=True).start()
        super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._lifecycle.is_draining:
            self.force_exit = True
            self._lifecycle.hurry()
        self._lifecycle.begin_drain(listen_seconds=_LISTENING_SECONDS if sig == signal.SIGTERM else 0.0)
        self.should_exit = True
        self._asked.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._lifecycle.drain()
        await super().shutdown(sockets)
        if self.force_exit:
            # Uvicorn 0.54 would leave the application to be cancelled, and tell that as an error with a traceback.
            await self.lifespan.shutdown()

    def _end_in_time(self) -> None:
        """A thread's work: whatever hangs (a disk under a thread, a collector), the process does not outlive its time."""
        self._asked.wait()
        while (seconds := self._lifecycle.end_at - time.monotonic()) > 0:
            time.sleep(min(seconds, 0.1))  # A second signal shortens the time.
        log.warning("shutdown_out_of_time")
        os._exit(0)


def main() -> None:
    """Entry of the API process."""
    arguments = _parser().parse_args()
    settings = read_settings(arguments.host, arguments.port)
    require_a_key(settings)
    configure_logs(component="api", level=settings.log_level, style=settings.log_format)
    lifecycle = Lifecycle(settings.drain_seconds)
    config = uvicorn.Config(
        create_app(settings, lifecycle=lifecycle, is_api_only=arguments.api_only),
        host=settings.host,
        port=settings.api_port,
        loop="asyncio",
        http=DeadlineH11Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_UNREAD_SECONDS,
        h11_max_incomplete_event_size=16384,
    )
    listener = _listener(settings.host, settings.api_port)
    server = DrainingServer(config, lifecycle)
    server.on_started = lambda: _announce(listener, is_api_only=arguments.api_only)
    server.run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    """A bound socket. Exits with status 2 when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.stderr.write(f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port or MLX_API_PORT.\n")
        raise SystemExit(2) from None
    return listener


def _announce(listener: socket.socket, *, is_api_only: bool) -> None:
    address, port = listener.getsockname()[:2]
    host = _REACHED_BY.get(address) or str(address)
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    rows = {"OpenAI API": f"{base}/v1", "Documentation": f"{base}/docs", "Health": f"{base}/health"}
    if not is_api_only:
        rows = {"Chat": f"{base}/", **rows}
    sys.stdout.write("".join(f"{name:14} {url}\n" for name, url in rows.items()))
    sys.stdout.flush()
