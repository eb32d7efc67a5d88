"""Who may call: Host and Origin on a loopback address, CORS, and the API key."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.server import RunningServer, run_server

DASHBOARD = "http://localhost:3005"
KEY = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "localhost:1234", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"]
)
def test_names_of_this_machine_are_answered(server: RunningServer, host: str) -> None:
    assert server.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8080",
        "127.0.0.1.nip.io",
        "127.0.0.1/ping?x=",
        "user@localhost",
        "localhost:",
        "localhost:x",
        "[::1",
        "0.0.0.0",
        "192.168.0.5",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/docs", "/"])
def test_another_host_is_refused(server: RunningServer, host: str, path: str) -> None:
    response = server.get(path, headers={"host": host})

    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"


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


def test_every_answer_carries_the_security_headers(server: RunningServer) -> None:
    for path in ("/", "/docs", "/health", "/v1/models", "/nowhere"):
        headers = server.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """On all addresses, hence with a key."""
    home = tmp_path_factory.mktemp("locked")
    with run_server(home, tiny_models(), "--host", "0.0.0.0", "--api-only", MLX_API_KEY=KEY) as server:
        server.base_url = server.base_url.replace("0.0.0.0", "127.0.0.1")
        yield server


def test_without_the_key_only_health_answers(locked_server: RunningServer) -> None:
    paths = httpx.get(f"{locked_server.base_url}/openapi.json", headers={"x-api-key": KEY}).json()["paths"]
    public = {"/health", "/health/live", "/health/ready"}
    assert len(paths) > 15

    for path in [*paths, "/docs", "/openapi.json", "/nowhere"]:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            response = httpx.request(method, locked_server.base_url + path)
            if path in public:
                assert response.status_code in {200, 405}
            else:
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"x-api-key": KEY}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": f"Bearer {KEY[:-1]}"}, 401),
        ({"x-api-key": ""}, 401),
        ({"cookie": f"x-api-key={KEY}"}, 401),
    ],
)
def test_the_key_is_taken_in_two_headers_only(locked_server: RunningServer, headers: dict[str, str], status: int) -> None:
    assert locked_server.get("/v1/models", headers=headers).status_code == status


def test_the_key_shows_up_nowhere(locked_server: RunningServer) -> None:
    locked_server.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})

    assert KEY not in locked_server.log()
    assert KEY not in locked_server.get("/metrics", headers={"x-api-key": KEY}).text


def test_another_address_without_a_key_does_not_start(tmp_path: Path) -> None:
    result = start({"HOME": str(tmp_path)}, "--host", "0.0.0.0")

    assert result.returncode == 2
    assert "MLX_API_KEY" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("MLX_API_PORT", "eighty"), ("MLX_PROMPT_CACHE_MAX_ENTRIES", "0"), ("MLX_MAX_BODY", "lots"), ("MLX_TEMPERATURE", "nan")],
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
