"""The official `openai` client's responses, sync and async: stateless, stored, streamed."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import openai
import pytest
from fixtures.server import RunningServer, run_server
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

HELLO = "Say something about tigers."


def ask(client: OpenAI, **fields: object) -> Response:
    return client.responses.create(**{"model": "default", "max_output_tokens": 8, "input": HELLO, **fields})


def test_a_response_has_every_field_of_openais_object(client: OpenAI) -> None:
    response = ask(client, metadata={"a": "b"}, temperature=0, instructions="Be brief.")

    assert response.id.startswith("resp_")
    assert (response.object, response.status) == ("response", "incomplete")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].type == "message"
    assert response.output_text
    assert (response.metadata, response.temperature, response.instructions) == ({"a": "b"}, 0, "Be brief.")
    assert response.usage is not None
    assert response.usage.output_tokens == 8
    assert response.usage.total_tokens == response.usage.input_tokens + 8
    assert response.model in [model.id for model in client.models.list()]


def test_the_text_is_what_the_chat_api_answers(client: OpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}]
    chat = client.chat.completions.create(model="default", messages=messages, max_tokens=24)

    response = ask(client, instructions="Be brief.", max_output_tokens=24)

    assert response.output_text == chat.choices[0].message.content


def test_streamed_events_come_in_openais_order(client: OpenAI) -> None:
    whole = ask(client, max_output_tokens=24)

    events = list(ask(client, max_output_tokens=24, stream=True))

    kinds = [event.type for event in events]
    head = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    tail = ["response.output_text.done", "response.content_part.done", "response.output_item.done", f"response.{whole.status}"]
    assert kinds[:4] == head
    assert kinds[-4:] == tail
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage == whole.usage.model_copy(
        update={"input_tokens_details": events[-1].response.usage.input_tokens_details}
    )


def test_the_stream_helper_puts_the_same_response_together(client: OpenAI) -> None:
    whole = ask(client, max_output_tokens=2000, extra_body={"logit_bias": {"2": 100}})

    with client.responses.stream(
        model="default", input=HELLO, max_output_tokens=2000, extra_body={"logit_bias": {"2": 100}}
    ) as stream:
        final = stream.get_final_response()

    assert whole.status == "completed"
    assert final.status == "completed"
    assert final.output_text == whole.output_text


def test_log_probabilities_come_with_the_text(client: OpenAI) -> None:
    response = ask(client, include=["message.output_text.logprobs"], top_logprobs=2, extra_body={"ignore_eos": True})
    events = list(ask(client, top_logprobs=2, stream=True, extra_body={"ignore_eos": True}))

    logprobs = response.output[0].content[0].logprobs
    streamed = [entry for event in events if event.type == "response.output_text.delta" for entry in event.logprobs]
    assert len(logprobs) == 8
    assert {len(entry.top_logprobs) for entry in logprobs} == {2}
    assert [entry.token for entry in streamed] == [entry.token for entry in logprobs]


def test_a_stored_response_is_shown_and_deleted(client: OpenAI) -> None:
    response = ask(client)

    shown = client.responses.retrieve(response.id)
    client.responses.delete(response.id)

    assert shown == response
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(response.id)


def test_a_streamed_response_is_stored_when_its_last_event_comes(client: OpenAI) -> None:
    events = list(ask(client, stream=True))

    shown = client.responses.retrieve(events[0].response.id)

    assert shown == events[-1].response


def test_a_response_is_not_stored_when_it_must_not_be(client: OpenAI) -> None:
    response = ask(client, store=False)

    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, previous_response_id=response.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_a_chain_answers_as_the_whole_conversation_does_and_hits_the_prompt_cache(client: OpenAI) -> None:
    rules = "Answer as a pirate would. " * 20
    first = ask(client, instructions=rules, input="Who are you?")
    second = ask(client, instructions=rules, input="And where?", previous_response_id=first.id)

    third = client.responses.with_raw_response.create(
        model="default", instructions=rules, input="Why?", previous_response_id=second.id, max_output_tokens=8
    )

    conversation = [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And where?"},
        *[item.model_dump() for item in second.output],
        {"role": "user", "content": "Why?"},
    ]
    stateless = ask(client, instructions=rules, input=conversation, store=False)
    answer = third.parse()
    assert answer.output_text == stateless.output_text
    assert answer.previous_response_id == second.id
    assert third.headers["x-cache"] == "hit"
    assert answer.usage is not None
    assert second.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens >= second.usage.input_tokens
    assert answer.usage.input_tokens == stateless.usage.input_tokens


def test_instructions_are_not_carried_over(client: OpenAI) -> None:
    first = ask(client, instructions="Answer as a pirate would.")

    second = ask(client, input="Why?", previous_response_id=first.id)

    plain = ask(
        client,
        input=[
            {"role": "user", "content": HELLO},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "Why?"},
        ],
    )
    assert second.output_text == plain.output_text


def test_a_chain_with_a_gap_is_refused(client: OpenAI) -> None:
    first = ask(client)
    second = ask(client, previous_response_id=first.id)
    client.responses.delete(first.id)

    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, previous_response_id=second.id)

    assert first.id in caught.value.message


def test_input_items_of_a_chain_are_listed_page_by_page(client: OpenAI) -> None:
    first = ask(client, input="One")
    second = ask(client, input=[{"role": "user", "content": "Two"}], previous_response_id=first.id)

    newest = client.responses.input_items.list(second.id, limit=2)
    oldest = client.responses.input_items.list(second.id, order="asc", limit=1)
    rest = client.responses.input_items.list(second.id, order="asc", after=oldest.data[0].id)

    assert [item.content[0].text for item in newest.data] == ["Two", first.output_text]
    assert [item.content[0].text for item in oldest.data] == ["One"]
    assert oldest.has_more
    assert [item.id for item in rest.data] == [newest.data[1].id, newest.data[0].id]
    assert len(list(client.responses.input_items.list(second.id, limit=1))) == 3


def test_input_tokens_are_counted_as_they_will_be_used(client: OpenAI) -> None:
    response = ask(client, instructions="Be brief.")

    counted = client.responses.input_tokens.count(model="default", input=HELLO, instructions="Be brief.")

    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens


def test_the_async_client_streams_several_responses_at_once(server: RunningServer, client: OpenAI) -> None:
    expected = ask(client, max_output_tokens=16).output_text

    async def one(async_client: AsyncOpenAI) -> str:
        stream = await async_client.responses.create(model="default", input=HELLO, max_output_tokens=16, stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    async def all_of_them() -> list[str]:
        async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0) as async_client:
            return list(await asyncio.gather(*(one(async_client) for _ in range(8))))

    assert asyncio.run(all_of_them()) == [expected] * 8


@pytest.fixture
def start_server(tmp_path: Path, tiny_models: Callable[..., Path]) -> Callable[..., AbstractContextManager[RunningServer]]:
    """Servers one after the other on the same home."""
    return lambda **variables: run_server(tmp_path, tiny_models(), **variables)


def test_stored_responses_survive_a_restart_and_go_when_their_time_is_over(
    start_server: Callable[..., AbstractContextManager[RunningServer]],
) -> None:
    with start_server() as server:
        first = server.post("/v1/responses", {"input": HELLO, "max_output_tokens": 8}).json()
        assert server.stop() == 0

    with start_server(MLX_STORED_RESPONSES_SECONDS="0.5") as server:
        shown = server.get(f"/v1/responses/{first['id']}")
        body = {"input": "Why?", "previous_response_id": first["id"], "max_output_tokens": 8}
        second = server.post("/v1/responses", body).json()

        assert shown.json() == first
        assert second["status"] in ("completed", "incomplete")
        server.wait_until(lambda it: it.get(f"/v1/responses/{second['id']}").status_code == 404)
        server.wait_until(lambda it: it.get(f"/v1/responses/{first['id']}").status_code == 404)
