"""Bad input, whatever it is, is answered with the right status in OpenAI's error shape and leaves the server well."""

import json
import socket
from http.client import HTTPResponse

import httpx
import pytest
from fixtures.server import RunningServer

USER = {"role": "user", "content": "hi"}


def error_of(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert "Traceback" not in response.text
    return error


BAD_FIELDS = [
    ({"temperature": -1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_k": 10**9}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": -0.1}, "min_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_completion_tokens": 10**12}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"n": 100_000}, "n"),
    ({"seed": 2**70}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": ""}, "stop"),
    ({"logprobs": 3}, "logprobs"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"frequency_penalty": -3}, "frequency_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"logit_bias": {"5": 101}}, "logit_bias"),
    ({"logit_bias": {"-1": 5}}, "logit_bias"),
    ({"logit_bias": {"999999999": 5}}, "logit_bias"),
    ({"logit_bias": {str(token): 1 for token in range(301)}}, "logit_bias"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"nonsense": True}}, "stream_options.nonsense"),
    ({"model": ""}, "model"),
    ({"user": 5}, "user"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": {}, "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "pirate", "content": "x"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages[1]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
    ),
    ({"max_tokens": 1_000_000}, "max_tokens"),
    ({"invented_field": 1}, "invented_field"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_FIELDS, ids=lambda value: json.dumps(value)[:50])
def test_a_bad_field_is_a_400_that_names_it(server: RunningServer, fields: dict[str, object], param: str) -> None:
    response = server.post("/v1/chat/completions", {"messages": [USER], **fields})

    error = error_of(response, 400)
    assert error["param"] is not None
    assert error["param"].startswith(param)


UNSUPPORTED = [
    {"audio": {"voice": "alloy", "format": "wav"}},
    {"modalities": ["text", "audio"]},
    {"reasoning_effort": "low"},
    {"web_search_options": {}},
]


@pytest.mark.parametrize("fields", UNSUPPORTED, ids=lambda fields: next(iter(fields)))
def test_a_known_field_that_is_not_done_yet_is_named(server: RunningServer, fields: dict[str, object]) -> None:
    error = error_of(server.chat("hi", **fields), 400)

    assert error["code"] == "unsupported_field"
    assert error["param"] == next(iter(fields))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**9]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
        ({"messages": [USER]}, "messages"),
    ],
)
def test_bad_fields_of_a_text_completion_are_named(server: RunningServer, fields: dict[str, object], param: str) -> None:
    error = error_of(server.post("/v1/completions", {"prompt": "x", **fields}), 400)

    assert error["param"] is not None
    assert error["param"].startswith(param)


def test_a_prompt_longer_than_the_context_is_named_so(server: RunningServer) -> None:
    error = error_of(server.post("/v1/completions", {"prompt": [40] * 33_000, "max_tokens": 1}), 400)

    assert error["code"] == "context_length_exceeded"
    assert "32768" in (error["message"] or "")


HOSTILE_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": Infinity}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "max_tokens": 2}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"messages": [{"role": "user", "content": "\xff"}]}',
    b'{"messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 10_000 + b"}",
    b'{"messages": [{"role": "user", "content": "x"}]} trailing',
]


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=lambda body: repr(body[:60]))
def test_a_hostile_body_is_a_400(server: RunningServer, body: bytes) -> None:
    pid = server.engine()["pid"]

    response = server.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})

    error_of(response, 400)
    assert server.engine()["pid"] == pid


FIELD_OF_ROUTE = {"/v1/completions": "prompt", "/v1/embeddings": "input", "/tokenize": "prompt", "/detokenize": "tokens"}


@pytest.mark.parametrize("path", FIELD_OF_ROUTE)
@pytest.mark.parametrize(
    "value",
    [
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b"[1e400]",
        b"9" * 10_000,
        b"[" + b"9" * 4_000 + b"]",
        b"[-" + b"9" * 30 + b"]",
        b'"\\ud800"',
        b'["\\udfff"]',
        b'"\xff"',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 150 + b"]" * 150,
        b"[null]",
        b"[[[1]]]",
        b"true",
        b"null",
    ],
    ids=lambda value: repr(value[:20]),
)
def test_every_route_that_takes_texts_refuses_what_is_none(server: RunningServer, path: str, value: bytes) -> None:
    pid = server.engine()["pid"]
    body = b'{"' + FIELD_OF_ROUTE[path].encode() + b'": ' + value + b"}"

    response = server.post(path, content=body, headers={"content-type": "application/json"})

    error_of(response, 400)
    assert server.engine()["pid"] == pid


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_only_json_is_taken(server: RunningServer, content_type: str) -> None:
    body = json.dumps({"messages": [USER]}).encode()

    error = error_of(server.post("/v1/chat/completions", content=body, headers={"content-type": content_type}), 400)

    assert "application/json" in (error["message"] or "")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_a_413(server: RunningServer, is_chunked: bool) -> None:
    size = 9 * 2**20
    content = (b"x" * 2**16 for _ in range(size // 2**16)) if is_chunked else b"x" * size

    response = httpx.post(
        f"{server.base_url}/v1/chat/completions", content=content, headers={"content-type": "application/json"}, timeout=30
    )

    assert error_of(response, 413)["code"] == "payload_too_large"


def test_a_huge_body_is_refused_before_it_is_sent(server: RunningServer) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            "Content-Length: 300000000\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_what_is_not_http_is_answered_in_json(server: RunningServer) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())

    assert (answer.status, body["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/v1/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/health", 405),
        ("GET", "/v1/models/no%2Fsuch", 404),
        ("DELETE", "/admin/models/no/such", 404),
        ("POST", "/admin/models/no/such/load", 404),
        ("DELETE", "/admin/cache/prompts/0000", 404),
    ],
)
def test_wrong_routes_and_methods_have_the_same_shape(server: RunningServer, method: str, path: str, status: int) -> None:
    error_of(httpx.request(method, server.base_url + path), status)


def test_a_request_id_is_kept_when_it_is_harmless(server: RunningServer) -> None:
    kept = server.get("/health", headers={"x-request-id": "trace-42"})
    replaced = server.get("/health", headers={"x-request-id": "a b\u00e9".encode("latin-1")})

    assert kept.headers["x-request-id"] == "trace-42"
    assert replaced.headers["x-request-id"] not in {"", "a b\u00e9"}
