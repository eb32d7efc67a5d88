"""Thoughts of a thinking model go apart from its content, and do not cost the prompt cache its hits."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import RunningServer, run_server
from model_factory import make_model
from openai import OpenAI

QUESTION = {"role": "user", "content": "Say something about tigers. " * 12}
ARCHITECTURES = ["qwen3", "gemma3_text", "mamba2"]
OPENING = "{{- '<|im_start|>assistant\\n' }}\n    {%- if thinks"


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """Serves thinking models of every kind of KV cache by the names of their folders."""
    folders = [tiny_models(arch, think=True) for arch in ARCHITECTURES]
    variables = {"MLX_RESPONSE_CACHE_ENABLED": "1", "MODEL_CACHE_DIR": str(folders[0].parent)}
    with run_server(tmp_path_factory.mktemp("thinker"), folders[0], **variables) as running:
        yield running


@pytest.fixture(scope="module")
def opened_thinker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Its template begins the thought, as that of DeepSeek R1 does."""
    folder = tmp_path_factory.mktemp("opened")
    make_model(folder / "model", arch="qwen3", think=True)
    template = folder / "model" / "chat_template.jinja"
    text = template.read_text()
    assert OPENING in text
    template.write_text(text.replace(OPENING, OPENING.replace("assistant\\n", "assistant\\n<think>\\n")))
    with run_server(folder / "home", folder / "model") as running:
        yield running


def token_id(server: RunningServer, text: str) -> str:
    (token,) = server.post("/tokenize", {"prompt": text}).json()["tokens"]
    return str(token)


def thoughtful(server: RunningServer, *, after: int = 10, **fields: Any) -> dict[str, Any]:
    """A request whose answer is a short thought of the letter A, then "yes": a random model says what biases make likely, and
    the penalty lets the end of the thought overtake the A after some `after / 2` of them."""
    bias = {token_id(server, "<think>"): 50, token_id(server, "A"): 100, token_id(server, "</think>"): 100 - after}
    return {
        "messages": [QUESTION],
        "max_tokens": 60,
        "logit_bias": bias,
        "frequency_penalty": 2,
        "structured_outputs": {"choice": ["yes"]},
        **fields,
    }


def answer_of(server: RunningServer, body: dict[str, Any]) -> dict[str, Any]:
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture(params=["thinker", "opened_thinker"])
def any_thinker(request: pytest.FixtureRequest) -> RunningServer:
    return request.getfixturevalue(request.param)


def test_a_thought_is_apart_from_the_content_and_counted(any_thinker: RunningServer) -> None:
    answer = answer_of(any_thinker, thoughtful(any_thinker))

    (choice,), usage = answer["choices"], answer["usage"]
    thought = choice["message"]["reasoning_content"]
    assert set(thought) == {"A"}
    assert choice["message"]["reasoning"] == thought
    assert choice["message"]["content"] == "yes"
    assert choice["finish_reason"] == "stop"
    reasoning_tokens = usage["completion_tokens_details"]["reasoning_tokens"]
    assert len(thought) < reasoning_tokens <= len(thought) + 2
    assert reasoning_tokens < usage["completion_tokens"]


def test_a_streamed_thought_comes_first_and_is_the_same(any_thinker: RunningServer) -> None:
    body = thoughtful(any_thinker)
    whole = answer_of(any_thinker, body)

    response = any_thinker.post("/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})

    frames = [json.loads(frame.removeprefix("data: ")) for frame in response.text.split("\n\n")[:-2]]
    deltas = [choice["delta"] for frame in frames for choice in frame["choices"]]
    message = whole["choices"][0]["message"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message["reasoning_content"]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == message["reasoning_content"]
    assert "".join(delta.get("content", "") for delta in deltas) == "yes"
    kinds = [
        "thought" if "reasoning" in delta else "content" for delta in deltas if delta.get("reasoning") or delta.get("content")
    ]
    assert kinds == sorted(kinds, reverse=True)
    details = frames[-1]["usage"]["completion_tokens_details"]
    assert details == whole["usage"]["completion_tokens_details"]


def test_each_choice_has_a_thought_and_a_replay_counts_the_same(thinker: RunningServer) -> None:
    body = thoughtful(thinker, n=2, logprobs=True, seed=1)

    fresh, replayed = (thinker.post("/v1/chat/completions", body) for _ in range(2))

    assert replayed.headers["x-response-cache"] == "hit"
    assert replayed.json()["choices"] == fresh.json()["choices"]
    assert replayed.json()["usage"]["completion_tokens_details"] == fresh.json()["usage"]["completion_tokens_details"]
    for choice in fresh.json()["choices"]:
        assert choice["message"]["reasoning"]
        assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == "yes"


def test_a_thought_that_never_ends_is_no_content(any_thinker: RunningServer) -> None:
    answer = answer_of(any_thinker, thoughtful(any_thinker, after=100, max_tokens=12))

    message = answer["choices"][0]["message"]
    assert set(message["reasoning_content"]) == {"A"}
    assert message["content"] == ""
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12


def test_stop_strings_do_not_count_in_thoughts(any_thinker: RunningServer) -> None:
    message = answer_of(any_thinker, thoughtful(any_thinker, stop=["A", "e"]))["choices"][0]["message"]

    assert set(message["reasoning"]) == {"A"}
    assert message["content"] == "y"


@pytest.mark.parametrize(
    "switch", [{"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}], ids=["effort", "template"]
)
def test_thoughts_can_be_switched_off(thinker: RunningServer, switch: dict[str, Any]) -> None:
    answer = answer_of(thinker, thoughtful(thinker, **switch))

    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "yes", "refusal": None}
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_template_switches_go_before_the_effort(thinker: RunningServer) -> None:
    body = thoughtful(thinker, reasoning_effort="none", chat_template_kwargs={"enable_thinking": True})

    assert answer_of(thinker, body)["choices"][0]["message"]["reasoning"]


def test_the_client_sees_thoughts_and_may_send_them_back(thinker: RunningServer) -> None:
    body = thoughtful(thinker)
    extra = {"structured_outputs": body.pop("structured_outputs")}
    with OpenAI(base_url=f"{thinker.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        first = client.chat.completions.create(model="default", **body, extra_body=extra).choices[0].message
        history = [QUESTION, first, {"role": "user", "content": "Why?"}]
        second = client.chat.completions.create(model="default", **{**body, "messages": history}, extra_body=extra)

    assert first.reasoning_content
    assert second.choices[0].message.content == "yes"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_next_turn_hits_though_its_template_drops_the_thought(thinker: RunningServer, arch: str) -> None:
    body = thoughtful(thinker, model=f"{arch}-think=True")
    generation_prompt_tokens = thinker.post("/tokenize", {"prompt": "<|im_start|>assistant\n"}).json()["count"]
    first = answer_of(thinker, body)
    said = first["choices"][0]["message"]
    history = [QUESTION, said, {"role": "user", "content": "Why?"}]

    second = thinker.post("/v1/chat/completions", {**body, "messages": history})
    third = thinker.post("/v1/chat/completions", {**body, "messages": [*history, said, {"role": "user", "content": "And?"}]})

    assert said["reasoning"]
    assert int(second.headers["x-cache-tokens"]) >= first["usage"]["prompt_tokens"] - generation_prompt_tokens
    assert int(third.headers["x-cache-tokens"]) >= second.json()["usage"]["prompt_tokens"] - generation_prompt_tokens
