"""Every error has one shape; requests that are too large, foreign or malformed are refused before a route sees them."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fixtures.backend import UPLOAD_LIMIT, RunningBackend

MAX_BODY = 8 * 2**20
JSON_HEADERS = {"content-type": "application/json"}


def _check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"].endswith(code)
    return problem


def test_unknown_routes_and_methods_have_the_same_shape(backend: RunningBackend) -> None:
    _check_problem(backend.get("/api/v1/nothing"), 404, "not_found")
    _check_problem(backend.get(f"/api/v1/models/{uuid4()}"), 404, "not_found")
    wrong_method = backend.request("DELETE", "/api/v1/models")
    _check_problem(wrong_method, 405, "method_not_allowed")
    assert wrong_method.headers["allow"]


def test_all_wrong_fields_are_told_at_once(backend: RunningBackend) -> None:
    problem = _check_problem(backend.get("/api/v1/models?page=0&page_size=101"), 422, "invalid_input")

    assert {error["field"] for error in problem["errors"]} == {"page", "page_size"}


@pytest.mark.parametrize("query", ["page=99999999999999999999", "page=x", "page_size=0", "query=%00", "task_type=%00"])
def test_wild_query_strings_are_refused(backend: RunningBackend, query: str) -> None:
    _check_problem(backend.get(f"/api/v1/models?{query}"), 422, "invalid_input")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "a", "name": "b", "base_model": "c"}',
        b'{"name": NaN, "base_model": "c"}',
        b'{"name": "\\ud800", "base_model": "c"}',
        b"[" * 5000,
        b"\xff\xfe",
        b"null",
    ],
)
def test_what_is_no_strict_json_is_refused(backend: RunningBackend, body: bytes) -> None:
    answer = backend.request("POST", "/api/v1/models", content=body, headers=JSON_HEADERS)

    problem = _check_problem(answer, 422, "invalid_input")
    assert problem["errors"][0]["field"] == "body"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(backend: RunningBackend, content_type: str) -> None:
    body = json.dumps({"name": "a", "base_model": "b"}).encode()

    answer = backend.request("POST", "/api/v1/models", content=body, headers={"content-type": content_type})

    assert _check_problem(answer, 422, "invalid_input")["errors"][0]["field"] == "content-type"


def test_a_body_beyond_the_limit_is_413(backend: RunningBackend) -> None:
    _check_problem(
        backend.request("POST", "/api/v1/models", content=b" " * (MAX_BODY + 1), headers=JSON_HEADERS), 413, "too_large"
    )


def test_a_body_beyond_the_limit_is_413_also_when_it_does_not_say_its_size(backend: RunningBackend) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 2**16 + 1):
            yield b" " * 2**16

    _check_problem(backend.request("POST", "/api/v1/models", content=chunks(), headers=JSON_HEADERS), 413, "too_large")


def test_an_upload_has_a_limit_of_its_own(backend: RunningBackend) -> None:
    _check_problem(
        backend.request("POST", "/api/v1/datasets", files={"file": ("rows.jsonl", b"x" * (UPLOAD_LIMIT + 1))}), 413, "too_large"
    )


def _status_with(backend: RunningBackend, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return backend.get("/api/v1/models", headers=named).status_code


def test_only_this_machines_names_are_served(backend: RunningBackend) -> None:
    port = urlsplit(backend.base_url).port

    assert [_status_with(backend, host=f"{name}:{port}") for name in ("localhost", "127.0.0.1", "[::1]")] == [200] * 3
    for name in ("evil.example", "localhost.evil.example", "user@localhost"):
        answer = backend.get("/api/v1/models", headers={"host": f"{name}:{port}"})
        _check_problem(answer, 403, "forbidden")


def test_a_request_with_two_hosts_is_refused(backend: RunningBackend) -> None:
    connection = http.client.HTTPConnection(urlsplit(backend.base_url).netloc, timeout=60)
    connection.putrequest("GET", "/health", skip_host=True)
    for host in ("localhost", "evil.example"):
        connection.putheader("Host", host)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()

    assert status in {400, 403}


def test_browsers_of_the_dashboard_may_call_and_strangers_may_not(backend: RunningBackend) -> None:
    allowed = backend.get("/api/v1/models", headers={"origin": "http://localhost:3005"})
    preflight = backend.request(
        "OPTIONS",
        "/api/v1/models",
        headers={"origin": "http://localhost:3005", "access-control-request-method": "PATCH"},
    )
    foreign = backend.get("/api/v1/models", headers={"origin": "http://localhost.evil.example"})

    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3005"
    assert (preflight.status_code, "PATCH" in preflight.headers["access-control-allow-methods"]) == (200, True)
    _check_problem(foreign, 403, "forbidden")
    assert "access-control-allow-origin" not in foreign.headers
    assert _status_with(backend, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert _status_with(backend, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200


def test_a_given_request_id_is_kept_and_a_wild_one_replaced(backend: RunningBackend) -> None:
    assert backend.get("/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(backend.get("/health", headers={"x-request-id": "a b\tc"}).headers["x-request-id"]) == 32


def test_answers_carry_security_headers(backend: RunningBackend) -> None:
    headers = backend.get("/api/v1/models").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers
