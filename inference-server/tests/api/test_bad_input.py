"""Bad input of every kind, to each API that generates: a 4xx in that API's own shape, and the next request is served."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.server import RunningServer, run_server

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
APIS = (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
CONVERSATIONS = (CHAT, RESPONSES, MESSAGES)
_LIMIT = {CHAT: "max_tokens", COMPLETIONS: "max_tokens", RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}
_TEXT = {CHAT: "messages", COMPLETIONS: "prompt", RESPONSES: "input", MESSAGES: "messages"}


def body_of(path: str, **fields: Any) -> dict[str, Any]:
    """A good request."""
    text: Any = [{"role": "user", "content": "Hi"}] if path in (CHAT, MESSAGES) else "Hi"
    return {_TEXT[path]: text, _LIMIT[path]: 2, **fields}


def send(server: RunningServer, path: str, body: str | bytes | dict[str, Any]) -> httpx.Response:
    content = json.dumps(body) if isinstance(body, dict) else body
    return server.post(path, content=content, headers={"content-type": "application/json"})


def refusal(response: httpx.Response, path: str) -> str:
    """The field that an error names, and its message, after checking its shape."""
    assert response.status_code == 400, response.text
    assert response.headers["x-request-id"]
    body = response.json()
    if path == MESSAGES:
        assert set(body) == {"type", "error", "request_id"}
        assert set(body["error"]) == {"type", "message"}
        assert body["error"]["type"] == "invalid_request_error"
        return body["error"]["message"]
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error"
    return f"{body['error']['param']}: {body['error']['message']}"


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """Beside a good model it knows some whose chat templates are bombs."""
    home = tmp_path_factory.mktemp("hostile")
    for name, template in TEMPLATE_BOMBS.items():
        folder = shutil.copytree(tiny_models(), home / f"models/bombs/{name}")
        (folder / "chat_template.jinja").write_text(template)
    with run_server(home, tiny_models(), MODEL_CACHE_DIR=str(home / "models"), MLX_MAX_TOKENS="4") as running:
        yield running


@pytest.fixture
def unharmed(hostile_server: RunningServer, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """The server, which after the test has the same engine and answers the API that the test asked."""
    pid, path = hostile_server.engine()["pid"], request.node.callspec.params.get("path", CHAT)
    yield hostile_server
    assert send(hostile_server, path, body_of(path)).status_code == 200
    assert hostile_server.engine()["pid"] == pid


def _with(path: str, field: str, value: str) -> str:
    """A good body with one more field, written as it is."""
    return json.dumps(body_of(path))[:-1] + f', "{field}": {value}}}'


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 10_000, "-0.5", "1e18", '"1"', "true", "[1]"]
)
def test_numbers_that_are_none_or_out_of_bounds(unharmed: RunningServer, path: str, number: str) -> None:
    words = refusal(send(unharmed, path, _with(path, "temperature", number)), path)

    assert "temperature" in words or "not valid JSON" in words


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("penalty", [5e-324, 0.001, 0, -1, 2.1])
def test_a_repetition_penalty_that_logits_cannot_be_divided_by(unharmed: RunningServer, path: str, penalty: float) -> None:
    assert "repetition_penalty" in refusal(send(unharmed, path, body_of(path, repetition_penalty=penalty)), path)


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e-5])
def test_a_temperature_next_to_nothing_is_none(unharmed: RunningServer, temperature: float) -> None:
    answers = [
        send(unharmed, CHAT, body_of(CHAT, temperature=each, logprobs=True)).json()["choices"] for each in (0, temperature)
    ]

    assert answers[0] == answers[1]
    assert all(entry["logprob"] <= 0 for entry in answers[1][0]["logprobs"]["content"])


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("number", ["-1", "0.5", str(2**63), str(-(2**70)), "9" * 4_000, "1e3", '"8"', "false", "null", "{}"])
def test_a_limit_of_tokens_that_is_none(unharmed: RunningServer, path: str, number: str) -> None:
    body = json.dumps(body_of(path)).replace(f'"{_LIMIT[path]}": 2', f'"{_LIMIT[path]}": {number}')

    response = send(unharmed, path, body)

    if number == "null" and path != MESSAGES:
        assert response.status_code == 200  # OpenAI's limits are optional.
    else:
        words = refusal(response, path)
        assert _LIMIT[path] in words or "not valid JSON" in words


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("value", [None, 5, True, {}, {"role": "user"}, [None], [[["a"]]], [True], []], ids=repr)
def test_a_prompt_of_the_wrong_type(unharmed: RunningServer, path: str, value: Any) -> None:
    assert _TEXT[path] in refusal(send(unharmed, path, body_of(path, **{_TEXT[path]: value})), path)


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("field", ["model", "stream", "logit_bias", "top_k", "invented"])
def test_any_other_field_of_the_wrong_type(unharmed: RunningServer, path: str, field: str) -> None:
    assert field in refusal(send(unharmed, path, body_of(path, **{field: [{"a": 1}]})), path)


_DEPTH = 200_000


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize(
    "text",
    [
        "[" * _DEPTH + "]" * _DEPTH,
        "[" * _DEPTH,
        '{"a":' * _DEPTH + "1" + "}" * _DEPTH,
        "[" * 150 + "]" * 150,
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '[{"role": "user", "content": "\\udc00"}]',
        '[{"role": "user", "\\ud800": "x"}]',
        '[{"role": "user", "content": "a", "content": "b"}]',
        "",
        "undefined",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_no_strict_json_or_too_deep(unharmed: RunningServer, path: str, text: str) -> None:
    refusal(send(unharmed, path, f'{{"{_TEXT[path]}": {text}, "{_LIMIT[path]}": 2}}'), path)


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"5", b"{", b"{}", b'{"a": "\xff"}', b"\xff\xfe{\x00}\x00", b"{} {}"]
)
def test_a_body_that_is_no_request(unharmed: RunningServer, path: str, body: bytes) -> None:
    refusal(send(unharmed, path, body), path)


@pytest.mark.parametrize("path", CONVERSATIONS)
@pytest.mark.parametrize("role", ["pirate", "", "User", "assistant\0", None, 5, {}, ["user"]], ids=repr)
def test_roles_that_nobody_knows(unharmed: RunningServer, path: str, role: Any) -> None:
    words = refusal(send(unharmed, path, body_of(path, **{_TEXT[path]: [{"role": role, "content": "x"}]})), path)

    assert f"{_TEXT[path]}[0].role" in words


def _openai(*calls: Any, results: tuple[str, ...]) -> list[dict[str, Any]]:
    made = [{"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call in calls]
    first: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": made}] if made else []
    return [
        {"role": "user", "content": "x"},
        *first,
        *({"role": "tool", "tool_call_id": each, "content": "y"} for each in results),
    ]


def _items(*calls: str, results: tuple[str, ...]) -> list[dict[str, Any]]:
    made = [{"type": "function_call", "call_id": call, "name": "f", "arguments": "{}"} for call in calls]
    told = [{"type": "function_call_output", "call_id": each, "output": "y"} for each in results]
    return [{"role": "user", "content": "x"}, *made, *told]


def _blocks(*calls: str, results: tuple[str, ...]) -> list[dict[str, Any]]:
    made = [{"type": "tool_use", "id": call, "name": "f", "input": {}} for call in calls]
    told = [{"type": "tool_result", "tool_use_id": each, "content": "y"} for each in results]
    said = [{"role": "assistant", "content": made}] if made else []
    return [{"role": "user", "content": "x"}, *said, {"role": "user", "content": told or "and?"}]


_HISTORY = {CHAT: _openai, RESPONSES: _items, MESSAGES: _blocks}
BROKEN: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("c1",)),
    (("c1",), ()),
    (("c1",), ("c2",)),
    (("c1", "c1"), ("c1",)),
    (("c1", "c2"), ("c1",)),
    (("c1", "c2"), ("c1", "c3")),
]


@pytest.mark.parametrize("path", CONVERSATIONS)
@pytest.mark.parametrize(("calls", "results"), BROKEN, ids=str)
def test_histories_whose_calls_and_results_do_not_fit(
    unharmed: RunningServer, path: str, calls: tuple[str, ...], results: tuple[str, ...]
) -> None:
    words = refusal(send(unharmed, path, body_of(path, **{_TEXT[path]: _HISTORY[path](*calls, results=results)})), path)

    assert f"{_TEXT[path]}[" in words


@pytest.mark.parametrize("path", CONVERSATIONS)
@pytest.mark.parametrize("arguments", ["{", "[]", "5", '{"a": NaN}', "[" * 100_000], ids=lambda text: text[:12])
def test_arguments_of_an_old_call_that_are_no_json_object(unharmed: RunningServer, path: str, arguments: str) -> None:
    """OpenAI's are text that a model wrote, so they may be anything; Anthropic's are JSON themselves."""
    history = _HISTORY[path]("c1", results=("c1",))
    if path == MESSAGES:
        history[1]["content"][0]["input"] = arguments
        assert "input" in refusal(send(unharmed, path, body_of(path, messages=history)), path)
        return
    call = history[1]["tool_calls"][0]["function"] if path == CHAT else history[1]
    call["arguments"] = arguments

    response = send(unharmed, path, body_of(path, **{_TEXT[path]: history}))

    assert response.status_code == 200 or _TEXT[path] in refusal(response, path)


# ------------------------------------------------------------------------ bombs

TEMPLATE_BOMBS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "text": "{{ ('a' * 2000000000) | length }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "escape": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
}


@pytest.mark.parametrize("path", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATE_BOMBS)
def test_a_template_that_is_a_bomb(unharmed: RunningServer, path: str, name: str) -> None:
    words = refusal(send(unharmed, path, body_of(path, model=f"bombs/{name}")), path)

    assert "template" in words


@pytest.mark.parametrize("name", TEMPLATE_BOMBS)
def test_a_text_completion_needs_no_template(unharmed: RunningServer, name: str) -> None:
    assert send(unharmed, COMPLETIONS, body_of(COMPLETIONS, model=f"bombs/{name}")).status_code == 200


PATTERN_BOMBS = ["((a{1,1000}){1,1000}){1,1000}", "(.*a){200}(.*b){200}(.*c){200}", "(" * 8_000 + ")" * 8_000]


def _demanding(path: str, pattern: str) -> tuple[dict[str, Any], str]:
    """Fields by which an API demands text that matches, and the one that an error names."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}
    match path:
        case "/v1/responses":
            return {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}}, "text.format"
        case "/v1/messages":
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}, "output_config.format"
        case _:
            return {"structured_outputs": {"regex": pattern}}, "structured_outputs.regex"


def _is_bounded(server: RunningServer, path: str, body: dict[str, Any], param: str) -> None:
    """What can be kept within bounds is, what cannot is refused by name; either way soon."""
    began_at = time.monotonic()

    response = send(server, path, {**body, _LIMIT[path]: 30, "temperature": 1, "seed": 1})

    assert response.status_code == 200 or param in refusal(response, path)
    assert time.monotonic() - began_at < 30


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("pattern", PATTERN_BOMBS, ids=lambda text: text[:24])
def test_a_pattern_that_is_a_bomb(unharmed: RunningServer, path: str, pattern: str) -> None:
    fields, param = _demanding(path, pattern)

    _is_bounded(unharmed, path, body_of(path, **fields), param)


@pytest.mark.parametrize("path", CONVERSATIONS)
def test_a_tool_whose_schema_is_a_bomb(unharmed: RunningServer, path: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": PATTERN_BOMBS[0]}}}
    function = {"name": "f", "parameters": schema, "strict": True}
    tool: dict[str, Any] = {"type": "function", "function": function} if path == CHAT else {"type": "function", **function}
    if path == MESSAGES:
        tool = {"name": "f", "input_schema": schema, "strict": True}

    choice: Any = {"type": "any"} if path == MESSAGES else "required"
    _is_bounded(unharmed, path, body_of(path, tools=[tool], tool_choice=choice), "tools")
