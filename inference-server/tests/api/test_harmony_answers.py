"""Models of gpt-oss's kind over HTTP: their channels are thoughts, content and calls in every wire API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from fixtures.harmony import PENALTY, harmony_tokenizer, make_reciter
from fixtures.server import RunningServer, run_server
from openai import OpenAI

NEXT = "<|end|><|start|>assistant"
THOUGHT = f"<|channel|>analysis<|message|>Hm, two.{NEXT}"
ARGUMENTS = '{"city": "Oslo"}'
ANSWERS = {
    "thinks": f"{THOUGHT}<|channel|>final<|message|>Yes! Go.<|return|>",
    "calls": f"{THOUGHT}<|channel|>commentary to=functions.go <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
    "calls-by-role": f" to=functions.go<|channel|>commentary json<|message|>{ARGUMENTS}<|call|>",
    "prepares": f"<|channel|>commentary<|message|>Yes!{NEXT} to=functions.go<|channel|>commentary json<|message|>{{}}<|call|>",
    "mislisted": f"{THOUGHT}<|channel|>commentary to=functions.go <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
}
CITY = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
GO = {"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}
STRICT_GO = {
    "type": "function",
    "function": {"name": "go", "parameters": {**CITY, "additionalProperties": False}, "strict": True},
}
ASK = [{"role": "user", "content": "Shall we go? " * 30}]


@pytest.fixture(scope="module")
def reciters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serves a model for each answer by its name."""
    home = tmp_path_factory.mktemp("harmony")
    for name, answer in ANSWERS.items():
        # Its files call the end of a message the end of an answer, and leave the call out.
        wrong = [harmony_tokenizer().token_to_id("<|end|>")] if name == "mislisted" else None
        make_reciter(home / "models" / name, answer, end_ids=wrong)
    variables = {"MODEL_CACHE_DIR": str(home / "models"), "MLX_RESPONSE_CACHE_ENABLED": "1"}
    with run_server(home / "home", home / "models" / "thinks", **variables) as running:
        yield running


def chat(server: RunningServer, model: str, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": ASK, "max_tokens": 60, "presence_penalty": PENALTY, **fields}
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    return response.json()


def message_of(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["choices"][0]["message"]


def calls_of(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = message_of(answer).get("tool_calls") or []
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


# ----------------------------------------------------------- chat completions


def test_channels_are_thoughts_and_content(reciters: RunningServer) -> None:
    answer = chat(reciters, "thinks")

    message, usage = message_of(answer), answer["usage"]
    assert message["reasoning_content"] == message["reasoning"] == "Hm, two."
    assert message["content"] == "Yes! Go."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_the_stream_says_the_same_piece_by_piece(reciters: RunningServer) -> None:
    body = {"model": "thinks", "messages": ASK, "max_tokens": 60, "presence_penalty": PENALTY, "stream": True}

    frames = reciters.post("/v1/chat/completions", body).text.split("\n\n")[:-2]

    deltas = [choice["delta"] for frame in frames for choice in json.loads(frame.removeprefix("data: "))["choices"]]
    thoughts = [delta["reasoning_content"] for delta in deltas if delta.get("reasoning_content")]
    contents = [delta["content"] for delta in deltas if delta.get("content")]
    assert ("".join(thoughts), "".join(contents)) == ("Hm, two.", "Yes! Go.")
    assert min(len(thoughts), len(contents)) > 2


@pytest.mark.parametrize("model", ["calls", "calls-by-role", "mislisted"])
def test_a_message_to_a_function_is_a_call_and_ends_the_answer(reciters: RunningServer, model: str) -> None:
    answer = chat(reciters, model, tools=[GO])

    assert calls_of(answer) == [("go", {"city": "Oslo"})]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert message_of(answer)["content"] is None
    assert message_of(answer).get("reasoning") == (None if model == "calls-by-role" else "Hm, two.")


def test_what_is_said_before_a_call_is_content(reciters: RunningServer) -> None:
    answer = chat(reciters, "prepares", tools=[GO])

    assert message_of(answer)["content"] == "Yes!"
    assert calls_of(answer) == [("go", {})]


def test_an_answer_that_the_limit_cuts_has_no_half_call(reciters: RunningServer) -> None:
    num_tokens = chat(reciters, "calls", tools=[GO])["usage"]["completion_tokens"]

    for max_tokens in range(1, num_tokens):
        answer = chat(reciters, "calls", tools=[GO], max_tokens=max_tokens)

        assert answer["choices"][0]["finish_reason"] == "length"
        assert calls_of(answer) == []
        assert ARGUMENTS.startswith(message_of(answer)["content"])
        assert "Hm, two.".startswith(message_of(answer).get("reasoning") or "")


def test_stop_strings_count_in_what_is_seen(reciters: RunningServer) -> None:
    answer = chat(reciters, "thinks", stop=["two", "assistant", "final", "Go"])

    assert message_of(answer)["reasoning"] == "Hm, two."
    assert message_of(answer)["content"] == "Yes! "
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_log_probabilities_are_those_of_the_content(reciters: RunningServer) -> None:
    answer = chat(reciters, "thinks", logprobs=True, top_logprobs=2)

    entries = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == "Yes! Go."
    assert all(len(entry["top_logprobs"]) == 2 for entry in entries)


def test_the_effort_reaches_the_prompt_and_one_that_the_model_has_not_is_refused(reciters: RunningServer) -> None:
    whole = reciters.post("/tokenize", {"model": "thinks", "messages": ASK, "chat_template_kwargs": {"reasoning_effort": "low"}})
    answer = chat(reciters, "thinks", reasoning_effort="minimal")
    refused = reciters.post("/v1/chat/completions", {"model": "thinks", "messages": ASK, "reasoning_effort": "none"})

    assert answer["usage"]["prompt_tokens"] == whole.json()["count"]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reasoning_effort")


def test_a_replayed_answer_is_the_same_and_each_choice_is_whole(reciters: RunningServer) -> None:
    body = {"model": "calls", "messages": ASK, "tools": [GO], "n": 2, "max_tokens": 60, "presence_penalty": PENALTY}

    fresh, replayed = (reciters.post("/v1/chat/completions", body) for _ in range(2))

    assert replayed.headers["x-response-cache"] == "hit"
    choices = [
        [(each["message"]["reasoning"], each["message"]["tool_calls"][0]["function"]) for each in answer.json()["choices"]]
        for answer in (fresh, replayed)
    ]
    assert len(choices[0]) == 2
    assert choices[1] == choices[0]
    assert replayed.json()["usage"]["completion_tokens_details"] == fresh.json()["usage"]["completion_tokens_details"]


# ------------------------------------------------------------------ demands


def test_a_format_holds_for_the_final_channel_after_a_free_thought(reciters: RunningServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY, "strict": False}}

    answer = chat(reciters, "thinks", response_format=form)

    assert message_of(answer)["reasoning"] == "Hm, two."
    assert json.loads(message_of(answer)["content"])["city"] in ("Oslo", "Rome")
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_format_without_thoughts_begins_at_once(reciters: RunningServer) -> None:
    answer = chat(
        reciters,
        "thinks",
        structured_outputs={"choice": ["yes", "no"]},
        chat_template_kwargs={"enable_thinking": False},
    )

    assert message_of(answer).get("reasoning") is None
    assert message_of(answer)["content"] in ("yes", "no")


@pytest.mark.parametrize("model", ["thinks", "calls-by-role"])
def test_a_demanded_call_is_made_by_a_model_that_would_not(reciters: RunningServer, model: str) -> None:
    answer = chat(reciters, model, tools=[STRICT_GO], tool_choice="required")

    ((name, arguments),) = calls_of(answer)
    assert name == "go"
    assert arguments["city"] in ("Oslo", "Rome")
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert message_of(answer).get("reasoning") == ("Hm, two." if model == "thinks" else None)


def test_a_strict_tool_leaves_an_answer_without_calls_as_it_is(reciters: RunningServer) -> None:
    answer = chat(reciters, "thinks", tools=[STRICT_GO])

    assert (message_of(answer)["reasoning"], message_of(answer)["content"]) == ("Hm, two.", "Yes! Go.")


# ------------------------------------------------------------- conversations


def test_the_next_turn_hits_though_the_template_drops_the_thought(reciters: RunningServer) -> None:
    first = chat(reciters, "thinks")
    history = [*ASK, message_of(first), {"role": "user", "content": "Why?"}]

    body = {"model": "thinks", "messages": history, "max_tokens": 8}
    second = reciters.post("/v1/chat/completions", body)

    num_asking = reciters.post("/tokenize", {"prompt": "<|start|>assistant"}).json()["count"]
    assert int(second.headers["x-cache-tokens"]) >= first["usage"]["prompt_tokens"] - num_asking


def test_a_call_and_its_result_go_back_as_the_client_got_them(reciters: RunningServer) -> None:
    with OpenAI(base_url=f"{reciters.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        fields: dict[str, Any] = {"model": "calls", "tools": [GO], "presence_penalty": PENALTY, "max_tokens": 60}
        first = client.chat.completions.create(messages=ASK, **fields)
        said = first.choices[0].message
        result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "Sunny"}
        second = client.chat.completions.with_raw_response.create(messages=[*ASK, said, result], **fields)

    assert second.parse().choices[0].message.tool_calls[0].function.name == "go"
    num_asking = reciters.post("/tokenize", {"prompt": "<|start|>assistant"}).json()["count"]
    assert int(second.headers["x-cache-tokens"]) >= first.usage.prompt_tokens - num_asking


# ---------------------------------------------------------- the other two APIs


def test_responses_have_the_same_parts(reciters: RunningServer) -> None:
    body = {"input": "Shall we go?", "max_output_tokens": 60, "presence_penalty": PENALTY}
    tool = {"type": "function", "name": "go", "parameters": {"type": "object"}}

    thinks = reciters.post("/v1/responses", {**body, "model": "thinks", "reasoning": {"effort": "high"}}).json()
    calls = reciters.post("/v1/responses", {**body, "model": "calls", "tools": [tool]}).json()

    assert [item["type"] for item in thinks["output"]] == ["reasoning", "message"]
    assert thinks["output"][0]["content"][0]["text"] == "Hm, two."
    assert thinks["output"][1]["content"][0]["text"] == "Yes! Go."
    assert [item["type"] for item in calls["output"]] == ["reasoning", "function_call"]
    assert json.loads(calls["output"][1]["arguments"]) == {"city": "Oslo"}


def test_messages_have_the_same_parts(reciters: RunningServer) -> None:
    tool = {"name": "go", "input_schema": {"type": "object"}}
    extra = {"presence_penalty": PENALTY}
    with Anthropic(base_url=reciters.base_url, api_key="unused", max_retries=0, timeout=60) as client:
        ask = [{"role": "user", "content": "Shall we go?"}]
        thinking = {"type": "adaptive"}
        thinks = client.messages.create(model="thinks", messages=ask, max_tokens=60, thinking=thinking, extra_body=extra)
        calls = client.messages.create(model="calls", messages=ask, max_tokens=60, tools=[tool], extra_body=extra)

    assert [block.type for block in thinks.content] == ["thinking", "text"]
    assert (thinks.content[0].thinking, thinks.content[1].text) == ("Hm, two.", "Yes! Go.")
    assert calls.content[-1].type == "tool_use"
    assert calls.content[-1].input == {"city": "Oslo"}
    assert calls.stop_reason == "tool_use"


def test_the_list_of_models_says_what_they_can(reciters: RunningServer) -> None:
    abilities = reciters.get("/v1/models/thinks").json()["abilities"]

    assert abilities["reasoning"]
    assert abilities["tools"]
