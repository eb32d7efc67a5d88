"""The official `anthropic` client, sync and async, drives every field that the server honours."""

import asyncio
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message
from fixtures.server import RunningServer

HELLO = [{"role": "user", "content": "Say something about tigers."}]


@pytest.fixture(scope="module")
def claude(server: RunningServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.base_url, api_key="unused", max_retries=0, timeout=60) as client:
        yield client


def ask(client: Anthropic, **fields: object) -> Message:
    return client.messages.create(**{"model": "default", "max_tokens": 8, "messages": HELLO, **fields})


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_has_every_field_of_anthropics_object(claude: Anthropic) -> None:
    message = ask(claude)

    assert (message.type, message.role) == ("message", "assistant")
    assert message.id.startswith("msg_")
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.stop_reason == "max_tokens"
    assert message.stop_sequence is None
    assert message.usage.output_tokens == 8
    assert message._request_id


def test_the_text_is_what_the_chat_api_answers(claude: Anthropic, server: RunningServer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    body = {"messages": messages, "max_tokens": 24, "temperature": 0}
    chat = server.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]

    message = ask(claude, system="Be brief.", max_tokens=24)

    assert text_of(message) == chat


def test_streamed_events_come_in_anthropics_order(claude: Anthropic) -> None:
    whole = ask(claude, max_tokens=24)

    events = list(claude.messages.create(model="default", max_tokens=24, messages=HELLO, stream=True))

    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == text_of(whole)


def test_the_stream_helper_puts_the_same_message_together(claude: Anthropic) -> None:
    whole = ask(claude, max_tokens=24)

    with claude.messages.stream(model="default", max_tokens=24, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert text == text_of(final) == text_of(whole)
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_ping_follows_the_start_of_a_stream(server: RunningServer) -> None:
    response = server.post("/v1/messages", {"max_tokens": 3, "messages": HELLO, "stream": True})

    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
    assert names[:2] == ["message_start", "ping"]
    assert names[-1] == "message_stop"
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_usage_tells_what_the_prompt_cache_read_and_wrote(claude: Anthropic) -> None:
    fields = {"system": "You are a walrus. " * 30, "messages": [{"role": "user", "content": "Who are you?"}]}
    counted = claude.messages.count_tokens(model="default", **fields).input_tokens

    cold, warm = ask(claude, **fields).usage, ask(claude, **fields).usage

    assert (cold.input_tokens, cold.cache_read_input_tokens, cold.cache_creation_input_tokens) == (0, 0, counted)
    assert warm.cache_read_input_tokens is not None
    assert warm.cache_creation_input_tokens is not None
    assert warm.cache_read_input_tokens > counted // 2
    assert warm.input_tokens + warm.cache_read_input_tokens + warm.cache_creation_input_tokens == counted


def test_a_streams_usage_adds_up_at_its_start_and_its_end(claude: Anthropic) -> None:
    fields = {"model": "default", "messages": [{"role": "user", "content": "Count the seals. " * 20}]}
    counted = claude.messages.count_tokens(**fields).input_tokens

    events = list(claude.messages.create(**fields, max_tokens=4, stream=True))

    start, end = events[0].message.usage, events[-2].usage
    assert start.input_tokens + start.cache_read_input_tokens + start.cache_creation_input_tokens == counted
    assert end.input_tokens + end.cache_read_input_tokens + end.cache_creation_input_tokens == counted
    assert end.output_tokens == 4


def test_text_ends_before_a_stop_sequence_which_is_named(claude: Anthropic) -> None:
    free = text_of(ask(claude, max_tokens=24))
    stop = free[len(free) // 2 : len(free) // 2 + 3]

    message = ask(claude, max_tokens=24, stop_sequences=["never said", stop])

    assert text_of(message) == free[: free.index(stop)]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)


def test_system_may_come_in_blocks_with_cache_control(claude: Anthropic) -> None:
    cache_control = {"type": "ephemeral", "ttl": "1h"}
    blocks = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief.", "cache_control": cache_control}]
    user = [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}]

    in_blocks = ask(claude, system=blocks, messages=user, cache_control={"type": "ephemeral"})
    as_text = ask(claude, system="Be\n\nbrief.", messages=[{"role": "user", "content": "Hi"}])

    assert text_of(in_blocks) == text_of(as_text)


def test_fields_without_effect_are_taken(claude: Anthropic) -> None:
    fields = {"metadata": {"user_id": "ann"}, "service_tier": "auto", "tools": [], "tool_choice": {"type": "auto"}}

    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x"}

    message = ask(claude, **fields, extra_body={"top_p": 0.5}, extra_headers=headers)

    assert message.content


def test_a_nucleus_of_one_token_is_greedy(claude: Anthropic) -> None:
    assert text_of(ask(claude, extra_body={"temperature": 1, "top_k": 1})) == text_of(ask(claude))


def test_turns_of_one_role_in_a_row_are_one_turn(claude: Anthropic) -> None:
    apart = ask(claude, messages=[{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}])
    together = ask(claude, messages=[{"role": "user", "content": "One\n\nTwo"}])

    assert text_of(apart) == text_of(together)


def test_the_async_client_streams_several_messages_at_once(server: RunningServer, claude: Anthropic) -> None:
    expected = text_of(ask(claude, max_tokens=16))

    async def one(client: AsyncAnthropic) -> str:
        async with client.messages.stream(model="default", max_tokens=16, messages=HELLO) as stream:
            return text_of(await stream.get_final_message())

    async def all_of_them() -> list[str]:
        async with AsyncAnthropic(base_url=server.base_url, api_key="unused", max_retries=0) as client:
            return list(await asyncio.gather(*(one(client) for _ in range(8))))

    assert asyncio.run(all_of_them()) == [expected] * 8


def test_an_unknown_model_is_a_404_in_anthropics_shape(claude: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(claude, model="claude-nonesuch")

    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.request_id
