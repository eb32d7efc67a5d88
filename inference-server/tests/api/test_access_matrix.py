"""Every route by every identity, and by hostile Host and Origin headers: generated from the routes, asked over a socket."""

import http.client
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx
import pytest
from fixtures.keys import StoredKey, keys_of_every_kind, prepare_keys
from fixtures.server import NO_TLS, RunningServer, run_server
from unified_mlx_app.api.policies import DeclaredRoute, Policy, declared_routes
from unified_mlx_app.api.security_headers import SECURITY_HEADERS
from unified_mlx_app.app import create_app
from unified_mlx_app.config import Settings

OWN_KEY = "correct-horse-battery-staple"
DASHBOARD = "http://localhost:3005"
_SCOPES = {"read": {"read"}, "infer": {"infer"}, "train": {"read", "train"}}
_ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one route, with a path that names nothing."""

    method: str
    route: DeclaredRoute

    @property
    def path(self) -> str:
        path = re.sub(r"{\w+:path}", "no/such", self.route.path)
        path = re.sub(r"{\w+}", "0000", path)
        return path if self.route.methods else f"{path}/swagger-ui.css"

    @property
    def policy(self) -> Policy:
        assert self.route.policy is not None
        return self.route.policy

    def __str__(self) -> str:
        return f"{self.method} {self.route.path}"


ROUTES = declared_routes(create_app(Settings()).routes)
CALLS = [Call(method, route) for route in ROUTES for method in sorted(route.methods or {"GET"})]


def test_every_route_declares_who_may_use_it() -> None:
    assert len(ROUTES) > 40
    assert [route.path for route in ROUTES if route.policy is None] == []


def test_what_is_public_what_only_administrators_do_and_what_is_written_down() -> None:
    public = {call.path for call in CALLS if call.policy.is_public}
    writes = [call for call in CALLS if call.method != "GET" and call.path.startswith("/admin")]
    models = [call for call in CALLS if call.method == "POST" and call.path.startswith("/v1")]

    assert public == {"/", "/health", "/health/live", "/health/ready", "/health/startup"}
    assert writes
    assert all(call.policy.scopes == {"admin"} and call.policy.is_audited for call in writes)
    assert models
    assert all(call.policy.scopes == {"infer"} for call in models)
    # Each of these shows texts of other callers' prompts, or how the server is set up.
    shown = {"/admin/cache/prompts", "/admin/cache/prompts/misses", "/admin/settings"}
    assert {call.path for call in CALLS if call.method == "GET" and call.policy.scopes == {"admin"}} == shown
    assert all(call.policy.rate is None for call in CALLS if call.path.startswith("/health") or call.path == "/metrics")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """On a loopback address without a key, as after installing it."""
    with run_server(tmp_path_factory.mktemp("local"), tiny_models()) as server:
        yield server


@pytest.fixture(scope="module")
def keys() -> dict[str, StoredKey]:
    return keys_of_every_kind()


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path], keys: dict[str, StoredKey]
) -> Iterator[RunningServer]:
    """On all addresses, with stored keys and the operator's own; refused keys are not counted."""
    home = tmp_path_factory.mktemp("guarded")
    prepare_keys(home, *keys.values())
    variables = {"MLX_API_KEY": OWN_KEY, "MLX_RATE_LIMIT_FAILED_KEYS": "", "MLX_ALLOWED_HOSTS": '["hub.example", "inference"]'}
    with run_server(home, tiny_models(), "--host", "0.0.0.0", **variables) as server:
        yield server


@pytest.fixture
def client(guarded: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.base_url, timeout=60, verify=NO_TLS) as client:
        yield client


def assert_refused(call: Call, response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, str(call)
    if call.path.startswith("/v1/messages"):
        types = {401: "authentication_error", 403: "permission_error"}
        assert response.json()["error"]["type"] == types[status], str(call)
    else:
        assert response.json()["error"]["code"] == code, str(call)


@pytest.mark.parametrize("name", ["none", "garbage", "expired", "revoked"])
def test_who_has_no_valid_key_gets_nowhere(client: httpx.Client, keys: dict[str, StoredKey], name: str) -> None:
    headers = {"none": {}, "garbage": {"x-api-key": "mlxhub_garbage"}}.get(name) or keys[name].headers if name != "none" else {}

    for call in CALLS:
        response = client.request(call.method, call.path, headers=headers)

        if call.policy.is_public:
            assert response.status_code in {200, 503}, str(call)
        else:
            assert_refused(call, response, 401, "invalid_api_key")
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["read", "infer", "train"])
def test_a_key_opens_what_its_scopes_say_and_nothing_else(client: httpx.Client, keys: dict[str, StoredKey], name: str) -> None:
    for call in CALLS:
        response = client.request(call.method, call.path, headers=keys[name].headers)

        if call.policy.is_public or call.policy.scopes & _SCOPES[name]:
            assert response.status_code not in {401, 403}, str(call)
            assert response.status_code < 500, str(call)
        else:
            assert_refused(call, response, 403, "insufficient_scope")
            assert all(scope in response.text for scope in call.policy.scopes), str(call)


@pytest.mark.parametrize("name", ["admin", "environment"])
def test_an_administrator_may_do_everything(client: httpx.Client, keys: dict[str, StoredKey], name: str) -> None:
    headers = {"x-api-key": OWN_KEY} if name == "environment" else keys["admin"].headers

    for call in CALLS:
        response = client.request(call.method, call.path, headers=headers)

        assert response.status_code not in {401, 403}, str(call)
        assert response.status_code < 500, str(call)


def test_this_machine_needs_no_key(local: RunningServer) -> None:
    with httpx.Client(base_url=local.base_url, timeout=60, verify=NO_TLS) as client:
        for call in CALLS:
            for headers in ({}, {"authorization": "Bearer whatever a client insists on"}):
                response = client.request(call.method, call.path, headers=headers)

                assert response.status_code not in {401, 403}, str(call)
                assert response.status_code < 500, str(call)


def status_of(client: httpx.Client, method: str, path: str) -> int:
    """Of a path sent as it is; httpx would tidy it up."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=30)
    connection.request(method, path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_what_is_no_route_looks_to_strangers_like_one(client: httpx.Client, keys: dict[str, StoredKey]) -> None:
    for path in ("/nowhere", "/v1", "/admin", "/health/", "//health", "/HEALTH", "/health/../v1/models", "/%2e/", "/health;x"):
        for method in _ALL_METHODS:
            assert status_of(client, method, path) == 401, (method, path)
    for method in _ALL_METHODS:
        assert client.request(method, "/v1/models").status_code == 401
        assert client.request(method, "/health").status_code in {200, 405}
    assert client.get("/nowhere", headers=keys["read"].headers).status_code == 404
    assert client.put("/v1/models", headers=keys["read"].headers).status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("authorization", "Bearer {key}")], 200),
        ([("authorization", "bearer   {key}")], 200),
        ([("x-api-key", "{key}")], 200),
        ([("authorization", "Bearer {key}"), ("x-api-key", "{key}")], 200),
        ([("authorization", "Bearer {key}"), ("x-api-key", OWN_KEY)], 401),
        ([("authorization", "Bearer {key}"), ("authorization", "Bearer other")], 401),
        ([("x-api-key", "{key}"), ("x-api-key", "other")], 401),
        ([("authorization", "Basic {key}")], 401),
        ([("authorization", "Bearer {key}x")], 401),
        ([("authorization", "{key}")], 401),
        ([("x-api-key", "")], 401),
        ([("cookie", "x-api-key={key}")], 401),
        ([("x-api-key", "' OR '1'='1")], 401),
        ([("x-api-key", "%s%n\u00e9")], 401),
    ],
)
def test_a_key_is_taken_in_two_headers_which_must_agree(
    client: httpx.Client, keys: dict[str, StoredKey], headers: list[tuple[str, str]], status: int
) -> None:
    sent = [(name.encode(), value.replace("{key}", keys["infer"].secret).encode("latin-1")) for name, value in headers]

    assert client.get("/v1/models", headers=sent).status_code == status
    assert client.get("/v1/models?api_key=" + keys["infer"].secret).status_code == 401


def test_keys_show_up_nowhere(guarded: RunningServer, client: httpx.Client, keys: dict[str, StoredKey]) -> None:
    secrets = [OWN_KEY, *(key.secret for key in keys.values())]
    for secret in secrets:
        client.get(f"/v1/models?key={secret}", headers={"x-api-key": secret})

    shown = client.get("/metrics", headers={"x-api-key": OWN_KEY}).text
    shown += client.get("/admin/settings", headers={"x-api-key": OWN_KEY}).text
    shown += guarded.log() + (guarded.home / ".unified-mlx/cache/audit.jsonl").read_text()

    assert not [secret for secret in secrets if secret in shown]


HOSTILE_HOSTS = [
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
    "hub.example.evil.example",
    "hub.example@evil.example",
    "xn--hub-example",
]
HOSTILE_ORIGINS = [
    "https://evil.example",
    "null",
    "file://",
    "http://localhost.evil.example",
    "http://localhost:3005.evil.example",
    "http://a@localhost",
    "https://localhost:3005@evil.example",
    "http://192.168.0.5",
    "chrome-extension://abcdef",
]


def test_a_foreign_host_is_refused_on_every_route(client: httpx.Client, keys: dict[str, StoredKey]) -> None:
    for host in HOSTILE_HOSTS:
        for call in CALLS:
            response = client.request(call.method, call.path, headers={**keys["admin"].headers, "host": host})
            assert_refused(call, response, 403, "forbidden")


def test_a_page_of_another_site_is_refused_on_every_route(client: httpx.Client, keys: dict[str, StoredKey]) -> None:
    for origin in HOSTILE_ORIGINS:
        for call in CALLS:
            response = client.request(call.method, call.path, headers={**keys["admin"].headers, "origin": origin})
            assert_refused(call, response, 403, "forbidden")
            assert "access-control-allow-origin" not in response.headers


def test_a_server_for_this_machine_refuses_them_as_well(local: RunningServer) -> None:
    hostile = [{"host": host} for host in HOSTILE_HOSTS] + [{"origin": origin} for origin in HOSTILE_ORIGINS]
    with httpx.Client(base_url=local.base_url, timeout=60, verify=NO_TLS) as client:
        for call, headers in zip(CALLS * 3, cycle(hostile), strict=False):
            assert_refused(call, client.request(call.method, call.path, headers=headers), 403, "forbidden")


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("hub.example", None, 200),
        ("HUB.example:8080", None, 200),
        ("inference:8080", None, 200),
        ("localhost", None, 200),
        ("hub.example:8080", "http://hub.example:8080", 200),
        ("hub.example:8080", DASHBOARD, 200),
        ("hub.example:8080", "http://inference:8080", 403),
        ("hub.example:8080", "http://localhost:9999", 403),
    ],
)
def test_a_server_for_others_goes_by_its_names_and_takes_its_own_pages(
    client: httpx.Client, keys: dict[str, StoredKey], host: str, origin: str | None, status: int
) -> None:
    headers = {**keys["read"].headers, "host": host} | ({} if origin is None else {"origin": origin})

    assert client.get("/v1/models", headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["local", "guarded"])
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_the_dashboard_may_send_a_key_and_read_what_it_gets(
    request: pytest.FixtureRequest, kind: str, header: str, keys: dict[str, StoredKey]
) -> None:
    server: RunningServer = request.getfixturevalue(kind)
    asked = {"access-control-request-method": "POST", "access-control-request-headers": f"{header},content-type"}
    secret = keys["infer"].secret
    key = {header: f"Bearer {secret}" if header == "authorization" else secret}

    preflight = httpx.options(f"{server.base_url}/v1/chat/completions", headers={"origin": DASHBOARD, **asked})
    stranger = httpx.options(f"{server.base_url}/v1/chat/completions", headers={"origin": "https://evil.example", **asked})
    answer = server.get("/v1/models", headers={"origin": DASHBOARD, **key})
    refusal = httpx.get(f"{server.base_url}/admin/settings", headers={"origin": DASHBOARD, "x-api-key": "wrong"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DASHBOARD
    assert header in preflight.headers["access-control-allow-headers"].lower()
    assert stranger.status_code == 403
    assert "access-control-allow-origin" not in stranger.headers
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == DASHBOARD
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert refusal.status_code == (200 if kind == "local" else 401)
    assert refusal.headers["access-control-allow-origin"] == DASHBOARD


def test_every_answer_carries_the_security_headers(client: httpx.Client, keys: dict[str, StoredKey]) -> None:
    refused = [client.get(path) for path in ("/v1/models", "/nowhere")]
    foreign = client.get("/health", headers={"host": "evil.example"})
    answers = [client.request(call.method, call.path, headers=keys["admin"].headers) for call in CALLS]

    for response in [*answers, *refused, foreign]:
        for name, value in SECURITY_HEADERS.items():
            if name == "content-security-policy":
                assert "default-src 'none'" in response.headers[name]
                assert "frame-ancestors 'none'" in response.headers[name]
            else:
                assert response.headers[name] == value, (str(response.url), name)


def test_the_chat_page_comes_without_a_key_and_asks_for_it(client: httpx.Client) -> None:
    page = client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})

    assert page.status_code == 200
    assert 'id="key"' in page.text
    assert client.get("/v1/models", headers={"origin": str(client.base_url).rstrip("/")}).status_code == 401
