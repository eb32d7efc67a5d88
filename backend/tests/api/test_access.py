"""Every route, asked by everybody: the application's own routes and all identities, on a backend that others can reach."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.keys import (
    GARBAGE_KEY,
    NO_LIMITS,
    OPERATORS_KEY,
    bearer,
    make_expired_key,
    make_key,
    make_revoked_key,
)
from mlx_hub.api.access import Policy, RoutePolicies
from mlx_hub.app import create_app
from mlx_hub.config import Settings
from mlx_hub.models.api_key import Scope

SCOPES = ("read", "infer", "train", "admin")
REFUSED = {"nobody": "unauthorized", "garbage": "unauthorized", "expired": "unauthorized", "revoked": "unauthorized"}
OPENS = {
    "read": {"read"},
    "infer": {"infer"},
    "train": {"train", "read"},
    "admin": set(SCOPES),
    "environment": set(SCOPES),
}
"""Which scopes of routes a key opens."""
IDENTITIES = ("local", *REFUSED, *OPENS)

PUBLIC = {"/health", "/health/live", "/health/ready", "/health/startup", "/docs", "/docs/assets", "/openapi.json"}
ADMINISTRATORS = {("POST", "/api/v1/models/import"), ("GET", "/api/v1/system/settings")}
ONLY_LOOK = {
    ("POST", "/api/v1/datasets/{dataset_id}/verify"),
    ("POST", "/api/v1/datasets/{dataset_id}/validate"),
    ("POST", "/api/v1/datasets/{dataset_id}/statistics"),
    ("POST", "/api/v1/datasets/{dataset_id}/preview"),
    ("POST", "/api/v1/training/preflight"),
}
"""They compute what a GET could not ask for, and store nothing."""
UNCOUNTED = {"/metrics", "/health/deep"} | PUBLIC
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One route and method as the application has it."""

    method: str
    template: str
    policy: Policy | None

    @property
    def path(self) -> str:
        """With ids that nothing has, and of a folder one of its files."""
        if self.template == "/docs/assets":
            return f"{self.template}/favicon.png"
        return re.sub(r"\{(\w+)\}", lambda name: _PARAMETERS.get(name[1], str(uuid4())), self.template)


_PARAMETERS = {"owner": "org", "name": "model", "version": "1", "alias": "champion"}


def _routes() -> list[Asked]:
    policies = RoutePolicies(create_app(Settings()).routes)
    return [
        Asked(method, route.template, route.policy) for route in policies.routes for method in sorted(route.methods or {"GET"})
    ]


ROUTES = _routes()
EACH_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")


def _needed(route: Asked) -> str | None:
    """The scope by the rule, whatever the route itself says."""
    if route.template in PUBLIC:
        return None
    if (route.method, route.template) in ADMINISTRATORS:
        return "admin"
    return "read" if route.method in {"GET", "HEAD"} or (route.method, route.template) in ONLY_LOOK else "train"


@pytest.fixture(scope="module")
def client(guarded: RunningBackend) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.base_url, timeout=30) as running:
        yield running


@pytest.fixture(scope="module")
def local(open_backend: RunningBackend) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_backend.base_url, timeout=30) as running:
        yield running


@pytest.fixture(scope="module")
def headers(guarded: RunningBackend) -> dict[str, dict[str, str]]:
    """What a request of each identity carries."""
    every = tuple(Scope)
    keys = {
        "garbage": GARBAGE_KEY,
        "expired": make_expired_key(guarded, "expired", *every),
        "revoked": make_revoked_key(guarded, "revoked", *every),
        "environment": OPERATORS_KEY,
        **{scope: make_key(guarded, f"only-{scope}", Scope(scope)) for scope in SCOPES},
    }
    return {"nobody": {}, **{identity: bearer(key) for identity, key in keys.items()}}


def _ask(client: httpx.Client, route: Asked, headers: dict[str, str]) -> httpx.Response:
    """The answer, of a stream only its beginning."""
    body = {"content": b"{}"} if route.method in {"POST", "PUT", "PATCH"} else {}
    given = {"content-type": "application/json", **headers} if body else headers
    with client.stream(route.method, route.path, headers=given, **body) as answer:
        if not _is_stream(answer):
            answer.read()
        return answer


def _is_stream(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def _code(answer: httpx.Response) -> str | None:
    """Of a problem; a HEAD is answered without one."""
    is_problem = answer.headers.get("content-type") == "application/problem+json" and answer.content
    return answer.json()["code"] if is_problem else None


@EACH_ROUTE
def test_every_route_declares_the_policy_that_the_rule_asks_for(route: Asked) -> None:
    assert route.policy is not None, f"{route.method} {route.template} does not say who may use it: see api/access.py"
    assert route.policy.scope == _needed(route)
    assert (route.policy.rate is None) == (route.template in UNCOUNTED)


@EACH_ROUTE
def test_each_identity_gets_what_it_may_and_no_more(
    client: httpx.Client, local: httpx.Client, headers: dict[str, dict[str, str]], route: Asked
) -> None:
    needed = _needed(route)
    for identity in IDENTITIES:
        answer = _ask(local, route, {}) if identity == "local" else _ask(client, route, headers[identity])
        is_open = needed is None or identity == "local" or needed in OPENS.get(identity, ())
        expected = None if is_open else REFUSED.get(identity, "insufficient_scope")
        status = {None: answer.status_code, "unauthorized": 401, "insufficient_scope": 403}[expected]

        assert answer.status_code == status, (identity, answer.status_code)
        if expected is None:
            assert answer.status_code not in {401, 403, 429, 500}, (identity, answer.text)
        else:
            assert _code(answer) == expected, identity
            assert answer.headers["www-authenticate"].startswith("Bearer"), identity
        if expected == "insufficient_scope":
            assert f"needs the scope {needed} " in answer.json()["detail"]
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS, identity
        assert answer.headers["cache-control"] == ("no-cache" if _is_stream(answer) else "no-store")
        assert "'none'" in answer.headers["content-security-policy"]
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "server" not in answer.headers


HOSTILE = {
    "a foreign host": {"host": "evil.example"},
    "a host that begins like ours": {"host": "localhost.evil.example"},
    "the address of no machine": {"host": "0.0.0.0"},
    "a host with a user": {"host": "localhost@evil.example"},
    "an empty host": {"host": ""},
    "a foreign origin": {"origin": "https://evil.example"},
    "an origin of a file or sandbox": {"origin": "null"},
    "another page of this machine": {"origin": "http://localhost:6666"},
    "an origin that begins like the dashboard": {"origin": "http://localhost:3005.evil.example"},
    "an origin with a path": {"origin": "http://localhost:3005/x"},
    "an image on a foreign page": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
}


@EACH_ROUTE
def test_pages_of_others_and_names_of_others_are_refused_with_the_best_key_too(client: httpx.Client, route: Asked) -> None:
    for case, foreign in HOSTILE.items():
        answer = _ask(client, route, bearer(OPERATORS_KEY) | foreign)

        assert (answer.status_code, _code(answer)) == (403, None if route.method == "HEAD" else "forbidden"), case
        assert "access-control-allow-origin" not in answer.headers, case


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "backend:8002", "host.docker.internal:8002", "[::1]:8002"])
def test_names_of_this_machine_are_answered_to(client: httpx.Client, host: str) -> None:
    assert client.get("/api/v1/models", headers=bearer(OPERATORS_KEY) | {"host": host}).status_code == 200


def test_the_address_that_was_connected_to_is_a_name_too(guarded: RunningBackend) -> None:
    port = httpx.URL(guarded.base_url).port

    answer = httpx.get(f"http://127.0.0.2:{port}/api/v1/models", headers=bearer(OPERATORS_KEY), timeout=30)
    foreign = httpx.get(f"http://127.0.0.2:{port}/health", headers={"host": f"127.0.0.3:{port}"}, timeout=30)

    assert (answer.status_code, foreign.status_code) == (200, 403)


DASHBOARD = "http://localhost:3005"


def test_the_dashboard_may_ask_before_it_has_a_key_and_reads_every_refusal(client: httpx.Client) -> None:
    preflight = client.options(
        "/api/v1/datasets",
        headers={
            "origin": DASHBOARD,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,idempotency-key",
        },
    )
    refused = client.get("/api/v1/datasets", headers={"origin": DASHBOARD})
    allowed = client.get("/api/v1/datasets", headers={"origin": DASHBOARD, **bearer(OPERATORS_KEY)})

    assert preflight.status_code == 200
    assert {"authorization", "content-type"} <= set(re.findall(r"[\w-]+", preflight.headers["access-control-allow-headers"]))
    assert [answer.status_code for answer in (refused, allowed)] == [401, 200]
    for answer in (preflight, refused, allowed):
        assert answer.headers["access-control-allow-origin"] == DASHBOARD
    exposed = set(re.findall(r"[\w-]+", refused.headers["access-control-expose-headers"]))
    assert {"www-authenticate", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"} <= exposed


def test_the_dashboard_works_without_a_key_where_none_is_asked(open_backend: RunningBackend) -> None:
    answer = open_backend.get("/api/v1/datasets", headers={"origin": DASHBOARD})
    with_key = open_backend.get("/api/v1/datasets", headers={"origin": DASHBOARD, **bearer("whatever it has stored")})

    assert (answer.status_code, with_key.status_code) == (200, 200)
    assert answer.headers["access-control-allow-origin"] == DASHBOARD


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "BREW", "HEAD"])
def test_methods_that_no_route_has_are_closed_to_strangers(client: httpx.Client, method: str) -> None:
    assert client.request(method, "/api/v1/models").status_code == 401
    assert client.request(method, "/api/v1/models", headers=bearer(OPERATORS_KEY)).status_code == 405


def test_what_is_not_there_is_told_to_those_with_a_key_only(client: httpx.Client) -> None:
    for path in ("/api/v1/nothing", "/api/v1/models/", "//health/live", "/health/live/../../metrics", "/api/v1/%6dodels/x/y/z"):
        assert client.get(path).status_code in {401, 404}, path
    assert client.get("/api/v1/nothing").status_code == 401
    assert client.get("/api/v1/nothing", headers=bearer(OPERATORS_KEY)).status_code == 404


def test_the_api_document_names_scopes_ways_to_send_a_key_and_refusals(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"]["/api/v1/training"]["post"]

    assert set(schema["components"]["securitySchemes"]) == {"bearer", "x-api-key"}
    assert operation["x-scope"] == "train"
    assert {"401", "403", "429"} <= set(operation["responses"])
    assert set(operation["responses"]["401"]["content"]) == {"application/problem+json"}
    assert "401" not in schema["paths"]["/health"]["get"]["responses"]


def test_a_route_that_says_nothing_is_closed_to_everybody(tmp_path: Path, migrated_sqlite_url: str) -> None:
    """In a process of its own, as someone would add one and forget."""
    script = (
        "import sys, mlx_hub.app as a\n"
        "make = a.create_app\n"
        "def with_route(*args, **options):\n"
        "    app = make(*args, **options)\n"
        "    app.add_api_route('/forgotten', lambda: 'secret')\n"
        "    return app\n"
        "a.create_app = with_route\n"
        "import runpy; runpy.run_module('mlx_hub.main', run_name='__main__')\n"
    )
    with run_backend(tmp_path, migrated_sqlite_url, program=("-c", script), **NO_LIMITS) as backend:
        answer = backend.get("/forgotten")

    assert (answer.status_code, _code(answer)) == (403, "forbidden")
