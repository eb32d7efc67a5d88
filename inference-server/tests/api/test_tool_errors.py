"""Tools and histories that make no sense are refused with the field that is wrong."""

from typing import Any

import pytest
from fixtures.server import RunningServer

FUNCTION: dict[str, Any] = {"name": "look", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
USER = {"role": "user", "content": "Hi"}


def call(call_id: str = "call_1", **fields: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}, **fields}


def assistant(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "seen"}


def tool(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {**FUNCTION, **fields}}


BAD_TOOLS = [
    ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
    ({"tools": [tool(name="look!")]}, "tools[0].function.name"),
    ({"tools": [tool(name="x" * 65)]}, "tools[0].function.name"),
    ({"tools": [tool(parameters={"type": "string"})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters=["city"])]}, "tools[0].function.parameters"),
    (
        {"tools": [tool(strict=True, parameters={"type": "object", "properties": {"a": {"type": "bogus"}}})]},
        "tools[0].function.parameters.properties.a",
    ),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": {"look": TOOL}}, "tools"),
    ({"tools": [TOOL] * 129}, "tools"),
    ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "leap"}}}, "tool_choice.function.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "functions": [FUNCTION]}, "functions"),
    ({"functions": [FUNCTION, FUNCTION]}, "functions[1].name"),
    ({"functions": [FUNCTION], "function_call": {"name": "leap"}}, "function_call.name"),
    ({"function_call": {"name": "look"}}, "function_call"),
    ({"tools": [TOOL], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ({"chat_template_kwargs": {"messages": "x"}}, "chat_template_kwargs"),
]

BAD_HISTORIES = [
    ([USER, result()], "messages[1].role"),
    ([USER, assistant(call()), result("call_2")], "messages[2].tool_call_id"),
    ([USER, assistant(call())], "messages[1].tool_calls[0].id"),
    ([USER, assistant(call(), call("call_2")), result()], "messages[1].tool_calls[1].id"),
    ([USER, assistant(call(), call()), result()], "messages[1].tool_calls[1].id"),
    ([USER, assistant(call()), USER, result()], "messages[1].tool_calls[0].id"),
    ([USER, assistant(call()), result(), USER, result()], "messages[4].role"),
    ([USER, {"role": "tool", "content": "seen"}], "messages[1].tool_call_id"),
    ([USER, assistant(call(type="custom"))], "messages[1].tool_calls[0].type"),
    (
        [USER, assistant({"id": "a", "type": "function", "function": {"name": "look", "arguments": {}}})],
        "messages[1].tool_calls[0].function.arguments",
    ),
    ([USER, {"role": "assistant"}], "messages[1]"),
    ([USER, {"role": "function", "content": "seen"}], "messages[1].name"),
    ([{"role": "wizard", "content": "x"}], "messages[0].role"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_TOOLS, ids=[f"{index}-{param}" for index, (_, param) in enumerate(BAD_TOOLS)])
def test_bad_tools_are_a_400_that_names_the_field(server: RunningServer, fields: dict[str, Any], param: str) -> None:
    response = server.post("/v1/chat/completions", {"messages": [USER], "max_tokens": 1, **fields})

    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert param in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("messages", "param"), BAD_HISTORIES, ids=[f"{index}-{param}" for index, (_, param) in enumerate(BAD_HISTORIES)]
)
def test_a_broken_history_is_a_400_that_names_the_place(server: RunningServer, messages: list[Any], param: str) -> None:
    response = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1, "tools": [TOOL]})

    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "arguments", ["{}", "", "not json", "[1]", '{"a": NaN}', "[" * 5000, '{"a": "\\ud800"}'], ids=lambda text: text[:12]
)
def test_arguments_that_a_model_wrote_wrong_do_not_spoil_the_history(server: RunningServer, arguments: str) -> None:
    said = call(function={"name": "look", "arguments": arguments})

    response = server.post("/v1/chat/completions", {"messages": [USER, assistant(said), result()], "max_tokens": 1})

    assert response.status_code in {200, 400}, response.text


def test_results_may_come_in_any_order_and_calls_may_have_text(server: RunningServer) -> None:
    both = {**assistant(call("a"), call("b")), "content": "Let me look twice."}

    response = server.post("/v1/chat/completions", {"messages": [USER, both, result("b"), result("a"), USER], "max_tokens": 1})

    assert response.status_code == 200, response.text
