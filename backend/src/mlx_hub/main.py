"""The API process: `uvicorn mlx_hub.main:app`, or `python -m mlx_hub.main`, which drains and exits with 0 on SIGTERM."""

import argparse
import socket
import sys
from types import FrameType

import uvicorn

from mlx_hub.api.http_protocol import MAX_HEADER_BYTES, DeadlineH11Protocol
from mlx_hub.app import create_app
from mlx_hub.config import Settings, read_settings
from mlx_hub.observability.logs import configure_logs
from mlx_hub.services.key_duty import reason_not_to_listen
from mlx_hub.services.lifecycle import Lifecycle

_DRAIN_SECONDS = 10.0
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a server that listens on all addresses can be found from here."""


class DrainingServer(uvicorn.Server):
    """On the first signal readiness fails, running requests finish, and the process ends with status 0.

    A second signal ends everything at once. Uvicorn alone would raise the signal again at the end.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self._lifecycle.is_draining
        self._lifecycle.begin_drain()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._lifecycle.drain(max_seconds=_DRAIN_SECONDS, is_urgent=lambda: self.force_exit)
        await super().shutdown(sockets)
        if self.force_exit:
            # Uvicorn 0.54 would leave the application to be cancelled, and tell that as an error with a traceback.
            await self.lifespan.shutdown()


def main() -> None:
    """Serves until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m mlx_hub.main", description="The registry and training API of MLX Model Hub.")
    parser.add_argument("--host", default=settings.host, help="address to listen on; goes before MLX_HUB_HOST")
    parser.add_argument("--port", type=int, default=settings.port, help="port, 0 for a free one; goes before MLX_HUB_PORT")
    arguments = parser.parse_args()
    given = settings.model_copy(update={"host": arguments.host, "port": arguments.port})
    _refuse_without_key(given)
    listener = _listener(given.host, given.port)
    config = uvicorn.Config(
        create_app(given, lifecycle=lifecycle),
        loop="asyncio",
        http=DeadlineH11Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    host, port = listener.getsockname()[:2]
    host = _REACHABLE.get(host) or str(host)
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    sys.stdout.write(f"{'Backend API':14} {base}/api/v1\n{'Documentation':14} {base}/docs\n")
    sys.stdout.flush()
    DrainingServer(config, lifecycle).run(sockets=[listener])


def _refuse_without_key(given: Settings) -> None:
    """Exits with status 2 when other machines could connect and nobody could be asked for a key."""
    if reason := reason_not_to_listen(given):
        sys.stderr.write(f"{reason}\n")
        raise SystemExit(2)


def _under_uvicorn(given: Settings) -> Settings:
    """With the address that `uvicorn --host` says; its workers see the same command line.

    Where it listens otherwise (a variable of its own, a socket) is seen at each request: see KeysGuard.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", default=given.host)
    known, _ = parser.parse_known_args(sys.argv[1:])
    return given.model_copy(update={"host": known.host})


def _listener(host: str, port: int) -> socket.socket:
    """A bound socket. Exits with status 2 when the address cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.stderr.write(f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port or MLX_HUB_PORT.\n")
        raise SystemExit(2) from None
    return listener


settings = read_settings()
configure_logs(component="api", level=settings.log_level, style=settings.log_format)
lifecycle = Lifecycle()

if __name__ == "__main__":
    main()
else:
    settings = _under_uvicorn(settings)
    _refuse_without_key(settings)
    app = create_app(settings, lifecycle=lifecycle)
    """What `uvicorn mlx_hub.main:app` looks for."""
