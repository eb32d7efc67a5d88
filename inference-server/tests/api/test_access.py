"""Which hosts and pages may call a server that only this machine reaches, and what stops a start."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fixtures.keys import keys_of_every_kind, prepare_keys
from fixtures.server import RunningServer
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message
from unified_mlx_app.api.host_guard import HostGuard
from unified_mlx_app.config import Settings

DASHBOARD = "http://localhost:3005"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "localhost:1234", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"]
)
def test_names_of_this_machine_are_answered(server: RunningServer, host: str) -> None:
    assert server.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
        "http://localhost:3005.evil.example",
        "http://a@localhost",
    ],
)
def test_a_page_of_another_site_is_refused_on_every_method(server: RunningServer, method: str, origin: str) -> None:
    response = httpx.request(method, f"{server.base_url}/admin/cache/prompts/clear", headers={"origin": origin})

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_a_cross_site_request_without_origin_is_refused_but_a_link_is_not(server: RunningServer) -> None:
    cross = {"sec-fetch-site": "cross-site"}

    assert server.get("/v1/models", headers={**cross, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert server.get("/", headers={**cross, "sec-fetch-mode": "navigate"}).status_code == 200


def test_the_dashboard_may_call_and_read_the_cache_headers(server: RunningServer) -> None:
    preflight = httpx.options(
        f"{server.base_url}/v1/chat/completions",
        headers={
            "origin": DASHBOARD,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-stainless-os",
        },
    )
    response = server.get("/v1/models", headers={"origin": DASHBOARD, "sec-fetch-site": "cross-site"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DASHBOARD
    assert response.headers["access-control-allow-origin"] == DASHBOARD
    assert {"x-cache", "x-cache-reason", "x-request-id"} <= set(response.headers["access-control-expose-headers"].split(", "))


def test_another_page_of_this_machine_cannot_read_answers(server: RunningServer) -> None:
    response = server.get("/v1/models", headers={"origin": "http://localhost:9999"})

    assert "access-control-allow-origin" not in response.headers


def test_another_address_without_a_key_does_not_start(tmp_path: Path) -> None:
    result = start({"HOME": str(tmp_path)}, "--host", "0.0.0.0")

    assert result.returncode == 2
    assert "MLX_API_KEY" in result.stderr
    assert "mlx-hub keys create" in result.stderr


def test_keys_that_open_nothing_do_not_let_another_address_start(tmp_path: Path) -> None:
    keys = keys_of_every_kind()
    prepare_keys(tmp_path, keys["expired"], keys["revoked"])

    result = start({"HOME": str(tmp_path)}, "--host", "0.0.0.0")

    assert result.returncode == 2
    assert "there is none" in result.stderr


def test_a_database_that_cannot_be_read_does_not_let_another_address_start(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    result = start(variables, "--host", "0.0.0.0")

    assert result.returncode == 2
    assert "cannot be read" in result.stderr


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7:8080", 204),
        ("2001:db8::7", "[2001:db8::7]:8080", 204),
        ("10.0.0.7", "10.0.0.8:8080", 403),
        ("10.0.0.7", "[::]:8080", 403),
        ("10.0.0.7", "0.0.0.0:8080", 403),
    ],
)
async def test_on_every_address_the_one_that_was_called_is_a_name(address: str, host: str, status: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "server": (address, 8080), "headers": [(b"host", host.encode())]}
    await HostGuard(Response(status_code=204), Settings(host="::"))(scope, Request(scope).receive, send)

    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLX_API_PORT", "eighty"),
        ("MLX_PROMPT_CACHE_MAX_ENTRIES", "0"),
        ("MLX_MAX_BODY", "lots"),
        ("MLX_TEMPERATURE", "nan"),
        ("MLX_API_KEY", ""),
        ("MLX_RATE_LIMIT_INFER", "many"),
        ("MLX_PROMPT_CACHE_SCOPE", "mine"),
    ],
)
def test_a_bad_setting_stops_the_start_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    result = start({"HOME": str(tmp_path), name: value})

    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"{name}: ")


def test_a_taken_port_is_said_plainly(server: RunningServer, tmp_path: Path) -> None:
    port = server.base_url.rpartition(":")[2]

    result = start({"HOME": str(tmp_path)}, "--port", port)

    assert result.returncode == 2
    assert f"port {port}" in result.stderr.splitlines()[-1]


def test_help_teaches_variables_and_an_example() -> None:
    result = start({}, "--help")

    assert result.returncode == 0
    assert "MLX_TEXT_MODEL" in result.stdout
    assert "curl http://127.0.0.1:8080/v1/chat/completions" in result.stdout


def start(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unified_mlx_app.main", *arguments]
    return subprocess.run(command, env={**variables}, capture_output=True, text=True, timeout=60, check=False)
