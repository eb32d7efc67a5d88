"""Tools, thoughts and formats by way of OpenAI's responses and Anthropic's messages, as the official clients see them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from anthropic import Anthropic
from fixtures.server import RunningServer, run_server
from openai import OpenAI
from pydantic import BaseModel

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "name": "get_weather", "description": "Get the weather", "parameters": PARAMETERS}
TOOL = {"name": "get_weather", "description": "Get the weather", "input_schema": PARAMETERS}
IN_PARIS = "What is the weather in Paris?"


class Pet(BaseModel):
    kind: Literal["cat", "dog"]
    is_tame: bool


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("tools"), demo_model) as running:
        yield running


@pytest.fixture(scope="module")
def demo(demo_server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo_server.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def claude(demo_server: RunningServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=demo_server.base_url, api_key="unused", max_retries=0, timeout=60) as client:
        yield client


def respond(client: OpenAI, **fields: Any) -> Any:
    return client.responses.create(
        **{"model": "default", "input": IN_PARIS, "max_output_tokens": 100, "tools": [FUNCTION], **fields}
    )


def create(client: Anthropic, **fields: Any) -> Any:
    messages = [{"role": "user", "content": IN_PARIS}]
    return client.messages.create(**{"model": "default", "messages": messages, "max_tokens": 100, "tools": [TOOL], **fields})


# ------------------------------------------------------------------- tools


def test_a_call_is_a_function_call_item(demo: OpenAI) -> None:
    response = respond(demo)

    (call,) = response.output
    assert (call.type, call.name, call.arguments, call.status) == (
        "function_call",
        "get_weather",
        '{"city": "Paris"}',
        "completed",
    )
    assert call.call_id.startswith("call_")
    assert response.status == "completed"
    assert response.tools[0].name == "get_weather"


def test_a_streamed_call_is_told_by_its_events(demo: OpenAI) -> None:
    events = list(respond(demo, stream=True))

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert (events[2].item.arguments, events[5].item.arguments) == ("", events[4].arguments)
    assert events[-1].response.output[0] == events[5].item


def test_a_result_goes_back_to_the_stored_call(demo: OpenAI) -> None:
    call = respond(demo)
    result = {"type": "function_call_output", "call_id": call.output[0].call_id, "output": "Sunny"}

    stored = respond(demo, input=[result], previous_response_id=call.id, max_output_tokens=8)

    stateless = [{"role": "user", "content": IN_PARIS}, *[item.model_dump() for item in call.output], result]
    sent = respond(demo, input=stateless, max_output_tokens=8)
    assert stored.output_text == sent.output_text
    # The call is rendered as the model wrote it, so all of the first turn's state is found again.
    assert stored.usage.input_tokens_details.cached_tokens >= call.usage.input_tokens + 10


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "name": "get_weather"}, {"type": "allowed_tools", "mode": "required", "tools": [
        {"type": "function", "name": "get_weather"}]}],
    ids=str,
)  # fmt: skip
def test_a_demanded_function_is_called(demo: OpenAI, choice: Any) -> None:
    response = respond(demo, input="Hello", tool_choice=choice, parallel_tool_calls=False)

    assert [item.type for item in response.output] == ["function_call"]


def test_functions_that_may_not_be_called_are_not(demo: OpenAI) -> None:
    assert all(item.type == "message" for item in respond(demo, tool_choice="none", max_output_tokens=20).output)


def test_a_call_is_a_tool_use_block(claude: Anthropic) -> None:
    message = create(claude)

    (block,) = message.content
    assert (block.type, block.name, block.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert message.stop_reason == "tool_use"


def test_the_stream_helper_puts_a_tool_use_block_together(claude: Anthropic) -> None:
    messages = [{"role": "user", "content": IN_PARIS}]
    with claude.messages.stream(model="default", messages=messages, max_tokens=100, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()

    assert "input_json" in kinds
    assert final.content[0].input == {"city": "Paris"}
    assert final.stop_reason == "tool_use"


def test_a_tool_result_goes_back_as_the_client_got_the_call(claude: Anthropic) -> None:
    first = create(claude)
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": [{"type": "text", "text": "Sunny"}]}
    messages = [
        {"role": "user", "content": IN_PARIS},
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [result, {"type": "text", "text": "And now?"}]},
    ]

    second = create(claude, messages=messages, max_tokens=8)

    assert second.content
    assert second.usage.cache_read_input_tokens >= first.usage.cache_read_input_tokens + 10
    counted = claude.messages.count_tokens(model="default", messages=messages, tools=[TOOL]).input_tokens
    usage = second.usage
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens == counted


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}])
def test_a_demanded_tool_is_used(claude: Anthropic, choice: Any) -> None:
    message = create(claude, messages=[{"role": "user", "content": "Hello"}], tool_choice=choice)

    assert {block.type for block in message.content} == {"tool_use"}


def test_tools_that_may_not_be_used_are_not(claude: Anthropic) -> None:
    message = create(claude, tool_choice={"type": "none"}, max_tokens=20)

    assert {block.type for block in message.content} == {"text"}


# ----------------------------------------------------------------- formats


def test_parse_gives_a_model_of_pydantic(client: OpenAI) -> None:
    response = client.responses.parse(model="default", input="Give me a pet.", text_format=Pet, max_output_tokens=60)

    assert isinstance(response.output_parsed, Pet)
    assert response.text.format.name == "Pet"


def test_the_stream_helper_parses_too(client: OpenAI) -> None:
    with client.responses.stream(model="default", input="Give me a pet.", text_format=Pet, max_output_tokens=60) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Pet)


def test_a_json_object_is_one(client: OpenAI) -> None:
    response = client.responses.create(
        model="default", input="Go", text={"format": {"type": "json_object"}}, max_output_tokens=5, store=False
    )

    assert response.output_text.lstrip().startswith("{")


def test_a_message_keeps_to_its_schema(server: RunningServer) -> None:
    schema = {**Pet.model_json_schema(), "additionalProperties": False}
    with Anthropic(base_url=server.base_url, api_key="unused", max_retries=0) as tiny:
        message = tiny.messages.create(
            model="default",
            max_tokens=60,
            messages=[{"role": "user", "content": "Give me a pet."}],
            output_config={"format": {"type": "json_schema", "schema": schema}},
        )

    assert Pet.model_validate_json(message.content[0].text)


# ---------------------------------------------------------------- thoughts


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("thinker"), tiny_models("qwen3", think=True)) as running:
        yield running


def thoughtful(server: RunningServer) -> dict[str, Any]:
    """Makes a random model think some letters A: it says what biases make likely, and the penalty lets the end come."""
    bias = {"<think>": 50, "A": 100, "</think>": 90}
    ids = {text: server.post("/tokenize", {"prompt": text}).json()["tokens"] for text in bias}
    return {"logit_bias": {str(ids[text][0]): value for text, value in bias.items()}, "frequency_penalty": 2}


ANSWER = {"type": "json_schema", "schema": {"const": "yes"}}


def test_thoughts_are_a_reasoning_item_that_goes_back_with_its_answer(thinker: RunningServer) -> None:
    body = {
        **thoughtful(thinker),
        "input": "Say yes.",
        "text": {"format": {**ANSWER, "name": "answer", "strict": True}},
        "max_output_tokens": 60,
    }

    first = thinker.post("/v1/responses", body).json()
    second = thinker.post("/v1/responses", {**body, "previous_response_id": first["id"]}).json()

    reasoning, message = first["output"]
    assert set(reasoning["content"][0]["text"]) == {"A"}
    assert message["content"][0]["text"] == '"yes"'
    assert first["usage"]["output_tokens_details"]["reasoning_tokens"] >= len(reasoning["content"][0]["text"])
    assert [item["type"] for item in second["output"]] == ["reasoning", "message"]


def test_streamed_thoughts_are_told_by_their_events(thinker: RunningServer) -> None:
    text = {"format": {**ANSWER, "name": "answer"}}
    with (
        OpenAI(base_url=f"{thinker.base_url}/v1", api_key="unused", max_retries=0) as client,
        client.responses.stream(
            model="default", input="Say yes.", text=text, max_output_tokens=60, extra_body=thoughtful(thinker)
        ) as stream,
    ):
        events = list(stream)
        final = stream.get_final_response()

    thought = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert thought
    assert final.output[0].content[0].text == thought
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds.index("response.reasoning_text.done") < kinds.index("response.output_text.delta")


def test_reasoning_effort_none_switches_thoughts_off(thinker: RunningServer) -> None:
    body = {**thoughtful(thinker), "input": "Say yes.", "text": {"format": {**ANSWER, "name": "a"}}, "max_output_tokens": 60}

    output = thinker.post("/v1/responses", {**body, "reasoning": {"effort": "none"}}).json()["output"]

    assert [item["type"] for item in output] == ["message"]


@pytest.mark.parametrize(("display", "is_shown"), [(None, True), ("omitted", False)])
def test_thoughts_are_a_signed_block_that_may_go_back(thinker: RunningServer, display: str | None, is_shown: bool) -> None:
    body = {
        **thoughtful(thinker),
        "messages": [{"role": "user", "content": "Say yes."}],
        "output_config": {"format": ANSWER},
        "thinking": {"type": "enabled", "budget_tokens": 1024, "display": display},
        "max_tokens": 1100,
    }

    message = thinker.post("/v1/messages", body).json()

    thought, text = message["content"]
    assert (thought["type"], bool(thought["thinking"]), bool(thought["signature"])) == ("thinking", is_shown, True)
    assert text["text"] == '"yes"'
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 2
    body["messages"] += [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": "Again."}]
    assert thinker.post("/v1/messages", body).status_code == 200


def test_the_stream_helper_puts_a_thought_together(thinker: RunningServer) -> None:
    fields = {"model": "default", "max_tokens": 1100, "messages": [{"role": "user", "content": "Say yes."}]}
    with (
        Anthropic(base_url=thinker.base_url, api_key="unused", max_retries=0) as client,
        client.messages.stream(
            **fields,
            thinking={"type": "enabled", "budget_tokens": 1024},
            output_config={"format": ANSWER},
            extra_body=thoughtful(thinker),
        ) as stream,
    ):
        final = stream.get_final_message()

    assert [block.type for block in final.content] == ["thinking", "text"]
    assert set(final.content[0].thinking) == {"A"}
    assert final.content[0].signature


def test_without_thinking_a_message_has_no_thoughts(thinker: RunningServer) -> None:
    body = {**thoughtful(thinker), "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 60}

    message = thinker.post("/v1/messages", {**body, "output_config": {"format": ANSWER}}).json()

    assert [block["type"] for block in message["content"]] == ["text"]
