"""Bad input to the responses and messages APIs is a 4xx in the shape of that API, and clients that leave stop the engine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.server import RunningServer, run_server

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
TOOL_USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def anthropic_error(response: httpx.Response, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message"}
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
    return body["error"]


def openai_error(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


BAD_RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": [5]}, "input[0]"),
    ({"input": [{}]}, "input[0].role"),
    ({"input": [{"role": "pirate", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": "x", "nonsense": 1}]}, "input[0]"),
    ({"input": [USER, CALL]}, "input[1].call_id"),
    ({"input": [USER, RESULT]}, "input[1].call_id"),
    ({"input": [USER, CALL, CALL, RESULT]}, "input[2].call_id"),
    ({"input": [USER, CALL, USER]}, "input[1].call_id"),
    ({"input": "x", "previous_response_id": "resp_none"}, "previous_response_id"),
    ({"input": "x", "previous_response_id": "../etc\0"}, "previous_response_id"),
    ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "x", "max_output_tokens": 1_000_000}, "max_output_tokens"),
    ({"input": "x", "temperature": 3}, "temperature"),
    ({"input": "x", "top_logprobs": 21}, "top_logprobs"),
    ({"input": "x", "store": "no"}, "store"),
    ({"input": "x", "metadata": {"a": 5}}, "metadata.a"),
    ({"input": "x", "background": True}, "background"),
    ({"input": "x", "truncation": "auto"}, "truncation"),
    ({"input": "x", "conversation": "conv_1"}, "conversation"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"input": "x", "tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
    ({"input": "x", "tools": [FUNCTION, FUNCTION]}, "tools[1].name"),
    ({"input": "x", "tool_choice": "required"}, "tool_choice"),
    ({"input": "x", "tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": 5}}}}, "text.format.schema"),
    ({"input": "x", "reasoning": {"effort": "very"}}, "reasoning.effort"),
    ({"input": "x", "reasoning": {"effort": "high"}}, "reasoning.effort"),
    ({"input": "x", "messages": [USER]}, "messages"),
    ({"input": "x", "stop": ["a"]}, "stop"),
]


@pytest.mark.parametrize(("body", "param"), BAD_RESPONSES, ids=lambda value: json.dumps(value)[:60])
def test_a_bad_field_of_a_response_is_named(server: RunningServer, body: dict[str, Any], param: str) -> None:
    error = openai_error(server.post("/v1/responses", body), 400)

    assert error["param"] == param or (error["param"] or "").startswith(f"{param}."), error


BAD_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": [5]}, "messages[0]"),
    ({"messages": [{"role": "pirate", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
    ({"messages": [user({"type": "image", "source": {}})]}, "messages[0].content[0].type"),
    ({"messages": [user({})]}, "messages[0].content[0].type"),
    ({"messages": [USER, assistant({"type": "text", "text": "x"})]}, "messages[1]"),
    ({"messages": [user(TOOL_USE)]}, "messages[0].content[0].type"),
    ({"messages": [user(TOOL_RESULT)]}, "messages[0].content[0].tool_use_id"),
    ({"messages": [USER, assistant(TOOL_USE), USER]}, "messages[1].content[0].id"),
    ({"messages": [USER, assistant(TOOL_USE, TOOL_USE), user(TOOL_RESULT)]}, "messages[1].content[1].id"),
    ({"messages": [USER, assistant(TOOL_RESULT), USER]}, "messages[1].content[0].type"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1_000_000}, "max_tokens"),
    ({"max_tokens": "8"}, "max_tokens"),
    ({"temperature": 1.5}, "temperature"),
    ({"top_k": 1.5}, "top_k"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": [""]}, "stop_sequences[0]"),
    ({"system": 5}, "system"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "eternal"}}]}, "system[0].cache_control.type"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
    ({"tools": [TOOL, TOOL]}, "tools[1].name"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{**TOOL, "strict": True, "input_schema": {"type": "object", "properties": 5}}]}, "tools[0].input_schema"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.budget_tokens"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"type": 5}}}}, "output_config.format.schema"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"n": 2}, "n"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_MESSAGES, ids=lambda value: json.dumps(value)[:60])
def test_a_bad_field_of_a_message_is_named(server: RunningServer, fields: dict[str, Any], param: str) -> None:
    body = {"messages": [USER], "max_tokens": 8, **fields}

    error = anthropic_error(server.post("/v1/messages", body), 400)

    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("body", ["[" * 200_000, "{", '{"a": NaN}', '{"messages": "\\ud800"}', '{"a":1,"a":2}', "[]", "5"])
def test_what_is_no_json_object_is_refused_in_anthropics_shape(server: RunningServer, path: str, body: str) -> None:
    response = httpx.post(server.base_url + path, content=body, headers={"content-type": "application/json"}, timeout=30)

    assert anthropic_error(response, 400)["type"] == "invalid_request_error"


def test_other_errors_of_messages_have_anthropics_types(server: RunningServer) -> None:
    body = {"messages": [USER], "max_tokens": 8}

    assert anthropic_error(server.post("/v1/messages", {**body, "model": "x/y"}), 404)["type"] == "not_found_error"
    assert anthropic_error(server.get("/v1/messages"), 405)["type"] == "invalid_request_error"
    assert anthropic_error(server.get("/v1/messages/nothing"), 404)["type"] == "not_found_error"
    headers = {"origin": "https://evil.example"}
    assert anthropic_error(server.post("/v1/messages", body, headers=headers), 403)["type"] == "permission_error"
    large = {"messages": [{"role": "user", "content": "x" * (9 * 2**20)}], "max_tokens": 8}
    assert anthropic_error(server.post("/v1/messages", large), 413)["type"] == "request_too_large"


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("locked"), tiny_models(), MLX_API_KEY="sesame, open yourself") as running:
        yield running


def test_the_key_may_come_in_either_header(locked_server: RunningServer) -> None:
    body = {"messages": [USER], "max_tokens": 2}

    refused = anthropic_error(locked_server.post("/v1/messages", body), 401)
    wrong = locked_server.post("/v1/messages", body, headers={"x-api-key": "wrong"})
    by_key = locked_server.post(
        "/v1/messages", body, headers={"x-api-key": "sesame, open yourself", "anthropic-version": "2023-06-01"}
    )
    by_token = locked_server.post("/v1/messages", body, headers={"authorization": "Bearer sesame, open yourself"})

    assert refused["type"] == "authentication_error"
    assert (wrong.status_code, by_key.status_code, by_token.status_code) == (401, 200, 200)


@pytest.mark.parametrize("path", ["/v1/responses/resp_none", "/v1/responses/resp_none/input_items"])
def test_an_unknown_response_is_a_404(server: RunningServer, path: str) -> None:
    assert openai_error(server.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    "path", ["/v1/responses/a%00b", "/v1/responses/resp_a?stream=true", "/v1/responses/a/input_items?limit=0"]
)
def test_a_bad_address_of_a_response_is_a_400(server: RunningServer, path: str) -> None:
    openai_error(server.get(path), 400)


# ------------------------------------------------------------- those who leave

LONG: dict[str, dict[str, Any]] = {
    "/v1/responses": {"input": "Count.", "max_output_tokens": 20_000, "ignore_eos": True},
    "/v1/messages": {"messages": [USER], "max_tokens": 20_000, "ignore_eos": True},
}


def is_idle(server: RunningServer) -> bool:
    engine = server.engine()
    return engine["requests_in_flight"] == 0 and engine["requests_running"] == 0 and engine["requests_waiting"] == 0


@pytest.mark.parametrize("path", LONG)
def test_a_stream_that_is_left_stops_in_the_engine(server: RunningServer, path: str) -> None:
    with httpx.stream("POST", server.base_url + path, json={**LONG[path], "stream": True}, timeout=30) as response:
        lines = response.iter_lines()
        for _ in range(20):
            next(lines)
        assert server.engine()["requests_in_flight"] == 1

    server.wait_until(is_idle, 30)


@pytest.mark.parametrize("path", LONG)
def test_a_whole_answer_that_is_left_stops_in_the_engine(server: RunningServer, path: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.base_url + path, json=LONG[path], timeout=1)

    server.wait_until(is_idle, 30)


@pytest.mark.parametrize("path", LONG)
def test_an_error_in_a_stream_is_its_last_event(server: RunningServer, path: str) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    name = ""
    headers = {"x-request-id": f"cut{path.replace('/', '-')}"}
    url = server.base_url + path
    with httpx.stream("POST", url, json={**LONG[path], "stream": True}, headers=headers, timeout=30) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
                if len(events) == 8:
                    assert server.post(f"/v1/requests/{headers['x-request-id']}/cancel").status_code == 200

    last_name, last = events[-1]
    if path == "/v1/messages":
        assert (last_name, last["type"], last["error"]["type"]) == ("error", "error", "invalid_request_error")
        assert last["request_id"] == headers["x-request-id"]
    else:
        assert (last_name, last["type"], last["response"]["status"]) == ("response.failed", "response.failed", "failed")
        assert last["response"]["error"]["code"] == "server_error"
        assert openai_error(server.get(f"/v1/responses/{last['response']['id']}"), 404)
