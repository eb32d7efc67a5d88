"""The official `openai` client, sync and async, drives every field that the server honours."""

import asyncio
import math

import openai
import pytest
from fixtures.server import RunningServer
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

HELLO = [{"role": "user", "content": "Say something about tigers."}]


def ask(client: OpenAI, messages: list[dict[str, object]] | None = None, **fields: object) -> ChatCompletion:
    fields.setdefault("max_tokens", 8)
    extra = {name: fields.pop(name) for name in list(fields) if name in {"top_k", "min_p", "repetition_penalty", "ignore_eos"}}
    return client.chat.completions.create(messages=messages or HELLO, model="default", extra_body=extra, **fields)


def stream(client: OpenAI, **fields: object) -> list[ChatCompletionChunk]:
    fields.setdefault("max_tokens", 8)
    return list(client.chat.completions.create(messages=HELLO, model="default", stream=True, **fields))


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(pieces)


def test_a_completion_has_every_field_of_openais_object(client: OpenAI) -> None:
    answer = ask(client)

    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.system_fingerprint
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.model in [model.id for model in client.models.list()]


def test_streamed_text_is_the_text_of_the_whole_answer(client: OpenAI) -> None:
    whole = ask(client, max_tokens=24)

    chunks = stream(client, max_tokens=24)

    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == whole.choices[0].finish_reason
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_the_usage_when_asked(client: OpenAI) -> None:
    whole = ask(client)

    chunks = stream(client, stream_options={"include_usage": True})

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_repeated_prompt_is_a_hit_and_gives_the_same_text(client: OpenAI) -> None:
    messages = [{"role": "system", "content": "You are a zebra. " * 20}, {"role": "user", "content": "Who are you?"}]
    cold = client.chat.completions.with_raw_response.create(messages=messages, model="default", max_tokens=12)

    warm = client.chat.completions.with_raw_response.create(messages=messages, model="default", max_tokens=12)

    assert cold.headers["x-cache"] == "miss"
    assert cold.headers["x-cache-reason"]
    assert warm.headers["x-cache"] == "hit"
    assert int(warm.headers["x-cache-tokens"]) == warm.parse().usage.prompt_tokens_details.cached_tokens > 0
    assert warm.parse().choices[0].message.content == cold.parse().choices[0].message.content


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_limit_of_tokens_is_kept(client: OpenAI, field: str) -> None:
    answer = ask(client, **{"max_tokens": openai.omit, field: 3, "ignore_eos": True})

    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_max_completion_tokens_goes_before_max_tokens(client: OpenAI) -> None:
    answer = ask(client, max_tokens=9, max_completion_tokens=4, ignore_eos=True)

    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def test_a_seed_gives_the_same_text_again_and_another_seed_another(client: OpenAI) -> None:
    texts = [ask(client, seed=seed, temperature=1, max_tokens=24).choices[0].message.content for seed in (7, 7, 8)]

    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1, 0])
def test_any_64_bit_seed_is_taken(client: OpenAI, seed: int) -> None:
    assert ask(client, seed=seed, temperature=1).choices


@pytest.mark.parametrize("field", [{"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}])
def test_a_nucleus_of_one_token_is_greedy(client: OpenAI, field: dict[str, float]) -> None:
    greedy = ask(client, temperature=0).choices[0].message.content

    narrow = ask(client, temperature=1, seed=3, **field).choices[0].message.content

    assert narrow == greedy


def test_each_of_n_choices_is_complete(client: OpenAI) -> None:
    answer = ask(client, n=3, temperature=1, seed=1, max_tokens=6, ignore_eos=True)

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 18


def test_streamed_choices_are_those_of_the_whole_answer(client: OpenAI) -> None:
    whole = ask(client, n=2, temperature=1, seed=1)

    chunks = stream(client, n=2, temperature=1, seed=1)

    assert [text_of(chunks, index) for index in (0, 1)] == [choice.message.content for choice in whole.choices]


@pytest.mark.parametrize("as_list", [False, True])
def test_text_ends_before_a_stop_string(client: OpenAI, as_list: bool) -> None:
    free = ask(client, max_tokens=24).choices[0].message.content
    assert free is not None
    stop = free[len(free) // 2 : len(free) // 2 + 3]

    answer = ask(client, max_tokens=24, stop=[stop, "never said"] if as_list else stop)

    assert answer.choices[0].message.content == free[: free.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_logprobs_name_each_token_and_its_rivals(client: OpenAI) -> None:
    answer = ask(client, logprobs=True, top_logprobs=3, max_tokens=5, ignore_eos=True)

    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content
    assert content is not None
    assert len(content) == 5
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)  # greedy takes the likeliest
        assert token.logprob <= 0
        assert token.bytes is not None
    spelled = b"".join(bytes(token.bytes or ()) for token in content).decode(errors="replace")
    assert spelled.startswith((answer.choices[0].message.content or "")[:3])


def test_streamed_logprobs_are_those_of_the_whole_answer(client: OpenAI) -> None:
    whole = ask(client, logprobs=True, max_tokens=5, ignore_eos=True).choices[0].logprobs

    chunks = stream(client, logprobs=True, max_tokens=5, extra_body={"ignore_eos": True})

    streamed = [entry for chunk in chunks for entry in (chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else [])]
    assert whole is not None
    assert [entry.token for entry in streamed] == [entry.token for entry in whole.content or ()]
    assert all(math.isfinite(entry.logprob) for entry in streamed)


def test_a_bias_forbids_and_forces_tokens(client: OpenAI) -> None:
    likeliest = client.completions.create(model="default", prompt="abc", max_tokens=1, logprobs=1)

    forced = client.completions.create(model="default", prompt="abc", max_tokens=3, logit_bias={"40": 100}, logprobs=1)

    assert forced.choices[0].logprobs is not None
    assert likeliest.choices[0].logprobs is not None
    assert len(set(forced.choices[0].logprobs.tokens or ())) == 1
    assert forced.choices[0].logprobs.tokens != (likeliest.choices[0].logprobs.tokens or [])[:1] * 3


@pytest.mark.parametrize("field", [{"presence_penalty": 2}, {"frequency_penalty": 2}, {"repetition_penalty": 2.0}])
def test_penalties_change_a_repeating_text(client: OpenAI, field: dict[str, float]) -> None:
    fields = {"logit_bias": {"40": 8, "41": 7}, "max_tokens": 12, "ignore_eos": True}
    plain = ask(client, **fields).choices[0].message.content

    penalised = ask(client, **fields, **field).choices[0].message.content

    assert penalised != plain


def test_content_may_come_in_parts_and_from_every_role(client: OpenAI) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " the weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": "Thanks", "name": "ann"},
    ]

    assert ask(client, messages, user="ann", metadata={"a": "b"}, store=False, service_tier="auto").choices


def test_no_op_values_of_unsupported_fields_pass(client: OpenAI) -> None:
    assert ask(client, tools=[], response_format={"type": "text"}, tool_choice="none", modalities=["text"]).choices


def test_a_completion_continues_text(client: OpenAI) -> None:
    whole = client.completions.create(model="default", prompt="The tiger", max_tokens=8)

    streamed = list(client.completions.create(model="default", prompt="The tiger", max_tokens=8, stream=True))

    assert whole.object == "text_completion"
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text
    assert streamed[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_several_prompts_and_choices_are_numbered_prompt_by_prompt(client: OpenAI) -> None:
    prompts = ["one tiger", "two lions and", "three"]
    alone = [client.completions.create(model="default", prompt=prompt, max_tokens=6).choices[0].text for prompt in prompts]

    together = client.completions.create(model="default", prompt=prompts, max_tokens=6, n=2)

    assert [choice.index for choice in together.choices] == [0, 1, 2, 3, 4, 5]
    assert [choice.text for choice in together.choices] == [text for text in alone for _ in range(2)]
    assert together.usage is not None
    assert together.usage.prompt_tokens > 3


def test_prompts_may_be_token_ids(client: OpenAI) -> None:
    one = client.completions.create(model="default", prompt=[40, 41, 42], max_tokens=4)

    two = client.completions.create(model="default", prompt=[[40, 41, 42], [50, 51]], max_tokens=4)

    assert one.usage is not None
    assert one.usage.prompt_tokens == 3
    assert two.choices[0].text == one.choices[0].text
    assert len(two.choices) == 2


def test_legacy_logprobs_say_where_each_token_begins(client: OpenAI) -> None:
    whole = client.completions.create(model="default", prompt="abc", max_tokens=5, logprobs=2)
    chunks = list(client.completions.create(model="default", prompt="abc", max_tokens=5, logprobs=2, stream=True))

    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.text_offset is not None
    assert logprobs.tokens is not None
    lengths = [len(token) for token in logprobs.tokens]
    assert logprobs.text_offset == [sum(lengths[:index]) for index in range(len(lengths))]
    streamed = [offset for chunk in chunks if chunk.choices[0].logprobs for offset in chunk.choices[0].logprobs.text_offset or ()]
    assert streamed == logprobs.text_offset


def test_the_async_client_streams_several_answers_at_once(server: RunningServer, client: OpenAI) -> None:
    expected = ask(client, max_tokens=16).choices[0].message.content

    async def one(async_client: AsyncOpenAI) -> str:
        answer = await async_client.chat.completions.create(messages=HELLO, model="default", max_tokens=16, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    async def all_of_them() -> list[str]:
        async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0) as async_client:
            return list(await asyncio.gather(*(one(async_client) for _ in range(12))))

    assert asyncio.run(all_of_them()) == [expected] * 12


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    listed = client.models.list().data

    shown = client.models.retrieve(listed[0].id)

    assert shown.id == listed[0].id
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such-model")
    assert listed[0].id in caught.value.message


def test_an_unknown_model_is_a_404_that_lists_the_known_ones(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no/such-model", messages=HELLO)

    assert caught.value.code == "model_not_found"
    assert client.models.list().data[0].id in caught.value.message
