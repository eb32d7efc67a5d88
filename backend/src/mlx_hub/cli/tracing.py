"""A command is the root of its trace, when OTLP_ENDPOINT names a collector: what the services do for it hangs below."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version

from mlx_hub.cli.errors import UsageError
from mlx_hub.config import parse_otlp_endpoint
from mlx_hub.observability.logs import configure_logs
from mlx_hub.observability.tracing import open_tracing

_UNTRACED = frozenset({"start", "worker"})
"""They become, or run, other programs, which trace their own work."""


@contextmanager
def traced(command: str | None, endpoint: str | None) -> Generator[None]:
    """The block is the command's work. A collector that is away takes two seconds at its end. Raises UsageError."""
    try:
        address = parse_otlp_endpoint(endpoint)
    except ValueError as error:
        raise UsageError(f"OTLP_ENDPOINT: {error}.") from error
    tracing = open_tracing(address, service="mlx-hub-cli", version=version("mlx-hub"), prefix="mlx_hub")
    if tracing is None or command is None or command in _UNTRACED:
        yield
        return
    # Standard output is the command's own.
    configure_logs(component="cli", level="error")
    tracing.start()
    try:
        with tracing.root(f"mlx-hub {command}", kind="internal"):
            yield
    finally:
        tracing.close()
