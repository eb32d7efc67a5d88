"""`/v1/completions` beyond plain text: echoed and scored prompts as lm-eval asks for them, and the best of several answers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx_lm
import openai
import pytest
from fixtures.server import RunningServer
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion

Offline = Callable[[list[int]], tuple[list[float], list[float]]]
PROMPT = [40 + 7 * number for number in range(60)]


@pytest.fixture(scope="module")
def offline(tiny_models: Callable[..., Path]) -> Offline:
    """Log-probabilities of all tokens but the first, and the highest there, by mlx-lm without any server."""
    model = mlx_lm.load(str(tiny_models()))[0]
    model.eval()

    def logprobs(tokens: list[int]) -> tuple[list[float], list[float]]:
        logits = model(mx.array(tokens)[None])[0, :-1]
        every = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        told = mx.take_along_axis(every, mx.array(tokens[1:])[:, None], axis=-1)[:, 0]
        return told.tolist(), every.max(axis=-1).tolist()

    return logprobs


def complete(client: OpenAI, prompt: object, **fields: object) -> Completion:
    extra = {name: fields.pop(name) for name in list(fields) if name in {"ignore_eos", "timeout"}}
    return client.completions.create(model="default", prompt=prompt, extra_body=extra, **fields)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_log_likelihood_requests_agree_with_mlx_lm(client: OpenAI, offline: Offline, max_tokens: int) -> None:
    prompts = [PROMPT, PROMPT[10:25], PROMPT[::-1], [40, 41]]

    answer = complete(client, prompts, echo=True, logprobs=1, max_tokens=max_tokens, temperature=0)

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice, prompt in zip(answer.choices, prompts, strict=True):
        columns = choice.logprobs
        # lm-eval reads `[context length : -1]` and takes it that one entry, the last, is generated.
        assert len(columns.token_logprobs) == len(columns.tokens) == len(columns.top_logprobs) == len(prompt) + max_tokens
        assert columns.token_logprobs[0] is columns.top_logprobs[0] is None
        told, best = offline(prompt)
        assert columns.token_logprobs[1 : len(prompt)] == pytest.approx(told, abs=1e-3)
        assert [max(top.values()) for top in columns.top_logprobs[1 : len(prompt)]] == pytest.approx(best, abs=1e-3)
    assert answer.usage.prompt_tokens == sum(map(len, prompts))
    assert answer.usage.completion_tokens == max_tokens * len(prompts)


def test_an_end_token_is_an_entry_of_its_own(client: OpenAI, server: RunningServer) -> None:
    end = server.post("/tokenize", {"prompt": "<|im_end|>"}).json()["tokens"]
    assert len(end) == 1

    answer = complete(client, PROMPT, echo=True, logprobs=1, max_tokens=1, logit_bias={str(end[0]): 100})

    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs.tokens[-1] == "<|im_end|>"
    assert len(answer.choices[0].logprobs.tokens) == len(PROMPT) + 1


def test_the_prompt_comes_before_the_answer(client: OpenAI) -> None:
    plain = complete(client, "Tigers: große 🐅 eat", max_tokens=6)

    echoed = complete(client, "Tigers: große 🐅 eat", max_tokens=6, echo=True, logprobs=0)

    text, columns = echoed.choices[0].text, echoed.choices[0].logprobs
    assert text == "Tigers: große 🐅 eat" + plain.choices[0].text
    assert columns.top_logprobs is None
    ends = [*columns.text_offset[1:], len(text)]
    for token, start, end in zip(columns.tokens, columns.text_offset, ends, strict=True):
        assert "\ufffd" in token or text[start:end] == token


def test_a_scored_prompt_gets_the_same_answer_and_says_that_the_cache_was_not_asked(client: OpenAI) -> None:
    complete(client, PROMPT, max_tokens=6)
    warm = client.completions.with_raw_response.create(model="default", prompt=PROMPT, max_tokens=6)

    scored = client.completions.with_raw_response.create(model="default", prompt=PROMPT, max_tokens=6, echo=True, logprobs=1)
    echoed = client.completions.with_raw_response.create(model="default", prompt=PROMPT, max_tokens=6, echo=True)

    assert (warm.headers["x-cache"], echoed.headers["x-cache"]) == ("hit", "hit")
    assert (scored.headers["x-cache"], scored.headers["x-cache-reason"]) == ("off", "not_asked")
    assert scored.parse().usage.prompt_tokens_details.cached_tokens == 0
    assert scored.parse().choices[0].text == echoed.parse().choices[0].text
    assert echoed.parse().choices[0].text.endswith(warm.parse().choices[0].text)


def test_a_streamed_echo_is_the_whole_one(client: OpenAI) -> None:
    fields = {"echo": True, "logprobs": 2, "max_tokens": 5, "n": 2, "temperature": 1, "seed": 3}
    whole = complete(client, [PROMPT[:20], PROMPT[20:]], **fields)

    chunks = list(complete(client, [PROMPT[:20], PROMPT[20:]], stream=True, **fields))

    assert len(whole.choices) == 4
    for choice in whole.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index]
        assert "".join(chunk.text for chunk in mine) == choice.text
        for column in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            streamed = [item for chunk in mine if chunk.logprobs for item in getattr(chunk.logprobs, column)]
            assert streamed == getattr(choice.logprobs, column)


def test_without_tokens_to_generate_the_prompt_alone_comes_back(client: OpenAI) -> None:
    answer = complete(client, "abc", max_tokens=0, echo=True)

    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("abc", "length")
    assert answer.usage.completion_tokens == 0


def test_the_best_of_several_is_the_likeliest_a_token(client: OpenAI) -> None:
    fields = {"temperature": 1, "seed": 5, "max_tokens": 6, "logprobs": 0, "ignore_eos": True}
    every = complete(client, "The tiger", n=6, **fields)
    means = {choice.text: sum(choice.logprobs.token_logprobs) / 6 for choice in every.choices}

    best = complete(client, "The tiger", best_of=6, n=2, **fields)
    silent = complete(client, "The tiger", best_of=6, n=2, **{**fields, "logprobs": openai.omit})

    assert [choice.index for choice in best.choices] == [0, 1]
    assert [choice.text for choice in best.choices] == sorted(means, key=lambda text: means[text], reverse=True)[:2]
    assert [choice.text for choice in silent.choices] == [choice.text for choice in best.choices]
    assert all(choice.logprobs is None for choice in silent.choices)
    assert best.usage.completion_tokens == 36


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 21}, "best_of"),
        ({"echo": "yes"}, "echo"),
        ({"echo": 1}, "echo"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": [[40] * 30_000] * 2, "echo": True, "logprobs": 20, "max_tokens": 1}, "prompt"),
        ({"prompt": [["a"]]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [5, 2**31]}, "prompt"),
        ({"prompt": [5, 2100]}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"timeout": 1e9}, "timeout"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_done_is_named(server: RunningServer, fields: dict[str, object], param: str) -> None:
    response = server.post("/v1/completions", {"prompt": "x", **fields})

    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(param)


def test_the_async_client_scores_many_prompts_at_once(server: RunningServer, client: OpenAI) -> None:
    prompts = [PROMPT[: 5 + number] for number in range(12)]
    expected = [complete(client, prompt, echo=True, logprobs=1, max_tokens=1).choices[0].logprobs for prompt in prompts]

    async def score() -> list[Completion]:
        async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0) as async_client:
            create = async_client.completions.create
            calls = (create(model="default", prompt=prompt, echo=True, logprobs=1, max_tokens=1) for prompt in prompts)
            return list(await asyncio.gather(*calls))

    told = [answer.choices[0].logprobs for answer in asyncio.run(score())]

    for ours, theirs in zip(told, expected, strict=True):
        assert ours.token_logprobs[:-1] == theirs.token_logprobs[:-1]
