"""The demo model calls a weather tool: the official client sees OpenAI's shapes, whole and streamed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import RunningServer, run_server
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the weather", "parameters": PARAMETERS},
}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
IN_PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("tools"), demo_model, MLX_RESPONSE_CACHE_ENABLED="true") as running:
        yield running


@pytest.fixture(scope="module")
def demo(demo_server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo_server.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        yield client


def ask(client: OpenAI, messages: list[dict[str, Any]] = IN_PARIS, **fields: Any) -> ChatCompletion:
    return client.chat.completions.create(model="default", messages=messages, **{"tools": [WEATHER], "max_tokens": 100, **fields})


def stream(client: OpenAI, **fields: Any) -> list[ChatCompletionChunk]:
    return list(ask(client, stream=True, stream_options={"include_usage": True}, **fields))  # pyright: ignore


def calls_of(answer: ChatCompletion, choice: int = 0) -> list[tuple[str, dict[str, Any]]]:
    calls = answer.choices[choice].message.tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_a_call_is_told_as_a_call_and_nothing_else(demo: OpenAI) -> None:
    answer = ask(demo)

    assert calls_of(answer) == [("get_weather", {"city": "Paris"})]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert answer.choices[0].message.tool_calls[0].id.startswith("call_")
    assert answer.choices[0].message.tool_calls[0].type == "function"
    assert answer.usage.completion_tokens > 10


def test_a_streamed_call_begins_with_its_name_and_gives_the_same_arguments(demo: OpenAI) -> None:
    chunks = stream(demo)

    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert (deltas[0].index, deltas[0].type, deltas[0].function.name, deltas[0].function.arguments) == (
        0,
        "function",
        "get_weather",
        "",
    )
    assert deltas[0].id
    assert all(delta.index == 0 and delta.id is None and delta.function.name is None for delta in deltas[1:])
    assert json.loads("".join(delta.function.arguments for delta in deltas)) == {"city": "Paris"}
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "tool_calls"
    assert not any(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage == ask(demo).usage.model_copy(
        update={"prompt_tokens_details": chunks[-1].usage.prompt_tokens_details}
    )


def test_the_clients_stream_helper_puts_the_call_together(demo: OpenAI) -> None:
    class GetWeather(BaseModel):
        city: str

    tool = pydantic_function_tool(GetWeather, name="get_weather", description="Get the weather")
    with demo.chat.completions.stream(
        model="default", messages=IN_PARIS, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_tokens=100
    ) as events:
        kinds = [event.type for event in events]
        answer = events.get_final_completion()

    assert "tool_calls.function.arguments.delta" in kinds
    assert "tool_calls.function.arguments.done" in kinds
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, GetWeather)


def test_the_async_client_gets_calls_of_several_requests_at_once(demo_server: RunningServer) -> None:
    async def ask_all() -> list[ChatCompletion]:
        async with AsyncOpenAI(base_url=f"{demo_server.base_url}/v1", api_key="unused", timeout=60) as client:
            questions = [[{"role": "user", "content": f"What is the weather in {city}?"}] for city in ("Paris", "Rome")]
            create = client.chat.completions.create
            return await asyncio.gather(*(create(model="default", messages=each, tools=[WEATHER]) for each in questions))

    assert [calls_of(answer) for answer in asyncio.run(ask_all())] == [
        [("get_weather", {"city": "Paris"})],
        [("get_weather", {"city": "Rome"})],
    ]


def test_a_call_and_its_result_go_back_as_the_client_got_them(demo: OpenAI) -> None:
    first = ask(demo).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "Sunny"}

    answer = demo.chat.completions.with_raw_response.create(
        model="default", messages=[*IN_PARIS, first, result], tools=[WEATHER], max_tokens=8
    )

    assert answer.parse().choices[0].finish_reason in {"stop", "length", "tool_calls"}
    # The call is rendered as the model wrote it, so all of the first turn's state is found again.
    assert int(answer.headers["x-cache-tokens"]) >= ask(demo).usage.prompt_tokens + 10


def test_tools_that_may_not_be_called_are_not(demo: OpenAI) -> None:
    answer = ask(demo, tool_choice="none")

    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason in {"stop", "length"}


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "function": {"name": "get_weather"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    ],
)
@pytest.mark.parametrize("temperature", [0, 2])
def test_a_demanded_call_always_parses(demo: OpenAI, choice: Any, temperature: float) -> None:
    answer = ask(
        demo,
        HELLO,
        tools=[WEATHER, CLOCK],
        tool_choice=choice,
        temperature=temperature,
        seed=1,
        max_tokens=400,
        parallel_tool_calls=False,
    )

    assert answer.choices[0].finish_reason == "tool_calls", answer.choices[0].message
    ((name, arguments),) = calls_of(answer)
    assert name in {"get_weather", "get_time"}
    assert choice == "required" or name == "get_weather"
    assert name == "get_time" or isinstance(arguments["city"], str)


def test_a_strict_tool_gets_arguments_of_its_schema_even_from_a_hot_model(demo: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    strict = {"type": "function", "function": {"name": "get_weather", "parameters": schema, "strict": True}}

    answer = ask(demo, tools=[strict], n=4, temperature=1.2, seed=3)

    for choice in range(4):
        for name, arguments in calls_of(answer, choice):
            assert name == "get_weather"
            assert arguments["city"] in {"Oslo", "Rome"}
            assert 1 <= arguments["days"] <= 9


@pytest.mark.parametrize("limit", [2, 6, 12, 15])
def test_a_call_that_the_limit_cuts_is_never_a_call(demo: OpenAI, limit: int) -> None:
    answer = ask(demo, max_tokens=limit)
    chunks = stream(demo, max_tokens=limit)

    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.tool_calls is None
    assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
    assert (
        "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == answer.choices[0].message.content
    )


def test_stop_strings_and_log_probabilities_concern_the_content_only(demo: OpenAI) -> None:
    answer = ask(demo, stop=["city", "}"], logprobs=True, top_logprobs=2)
    greeting = ask(demo, HELLO, stop=["help"], logprobs=True)

    assert calls_of(answer) == [("get_weather", {"city": "Paris"})]
    assert answer.choices[0].logprobs is None
    assert greeting.choices[0].message.content == "Hello! How can I "
    assert "".join(entry.token for entry in greeting.choices[0].logprobs.content).startswith("Hello! How can I ")


def test_each_of_n_choices_has_its_calls_and_a_replay_gives_them_again(demo_server: RunningServer) -> None:
    body = {"messages": IN_PARIS, "tools": [WEATHER], "n": 2, "max_tokens": 100, "stop": ["%%"]}

    fresh, replayed = (demo_server.post("/v1/chat/completions", body) for _ in range(2))
    streamed = demo_server.post("/v1/chat/completions", {**body, "stream": True})

    assert replayed.headers["x-response-cache"] == streamed.headers["x-response-cache"] == "hit"
    for response in (fresh, replayed):
        for choice in response.json()["choices"]:
            (call,) = choice["message"]["tool_calls"]
            assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert streamed.text.count('"name":"get_weather"') == 2


def test_deprecated_functions_are_called_as_such(demo: OpenAI) -> None:
    functions = [WEATHER["function"]]
    answer = ask(demo, tools=None, functions=functions)
    chunks = stream(demo, tools=None, functions=functions)
    history = [*IN_PARIS, answer.choices[0].message, {"role": "function", "name": "get_weather", "content": "Sunny"}]

    assert answer.choices[0].finish_reason == "function_call"
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.function_call.name == "get_weather"
    deltas = [choice.delta.function_call for chunk in chunks for choice in chunk.choices if choice.delta.function_call]
    assert deltas[0].name == "get_weather"
    assert "".join(delta.arguments or "" for delta in deltas) == answer.choices[0].message.function_call.arguments
    assert ask(demo, history, tools=None, functions=functions, max_tokens=4).choices
    named = ask(demo, HELLO, tools=None, functions=functions, function_call={"name": "get_weather"})
    assert named.choices[0].message.function_call.name == "get_weather"
