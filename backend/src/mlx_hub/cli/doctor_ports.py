"""Who listens on the ports of the platform's other processes: MLflow, the dashboard, the worker's metrics."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx

_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Port:
    """`path` answers with `sign` in its text or headers when our process has the port; `variable` chooses another port."""

    name: str
    number: int
    variable: str
    path: str
    sign: str


@dataclass(frozen=True, slots=True)
class Listener:
    """`is_ours` is None when nobody listens."""

    port: Port
    is_ours: bool | None


def platform_ports(variables: dict[str, str], *, worker_metrics_port: int) -> list[Port]:
    """As `make start` gives them out; without MLflow when another server is named."""
    dashboard = variables.get("MLX_DASHBOARD_PORT") or variables.get("PORT") or "3005"
    ports = [
        Port("dashboard", _number(dashboard, 3005), "MLX_DASHBOARD_PORT", "/", "MLX Model Hub"),
        Port("worker metrics", worker_metrics_port, "MLX_HUB_WORKER_METRICS_PORT", "/metrics", "mlx_hub_"),
    ]
    if "MLFLOW_TRACKING_URI" not in variables:
        ports.append(Port("MLflow", _number(variables.get("MLFLOW_PORT"), 5001), "MLFLOW_PORT", "/", "MLflow"))
    return ports


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() and 0 < int(text) < 65536 else default


def look_at(ports: list[Port]) -> Iterator[Listener]:
    for port in ports:
        yield Listener(port, _is_ours(port))


def _is_ours(port: Port) -> bool | None:
    url = f"http://127.0.0.1:{port.number}{port.path}"
    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
    except httpx.ConnectError:
        return None
    except httpx.HTTPError:
        return False
    return port.sign in answer.text
