"""`response_format` and `structured_outputs` as the official client sends them; a random model has to give valid answers."""

import asyncio
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Literal

import jsonschema_rs
import openai
import pytest
from fixtures.server import RunningServer
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, ConfigDict, Field

ASK = [{"role": "user", "content": "Give me a pet."}]
PET: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["cat", "dog", "鳥"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 2},
    },
    "required": ["name", "kind", "age"],
    "additionalProperties": False,
}


class Mood(StrEnum):
    CALM = "calm"
    WILD = "wild"


class Owner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=6)
    phone: str | None = Field(pattern=r"^\+[0-9]{3,5}$")


class Pet(BaseModel):
    """As `parse` sends it, every property is required and no other is allowed."""

    kind: Literal["cat", "dog"]
    mood: Mood
    age: int = Field(ge=0, le=40)
    owner: Owner
    young: list["Pet"] = Field(max_length=1)


def json_format(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **fields}}


def ask(client: OpenAI, **fields: Any) -> Any:
    fields = {"max_tokens": 200, "extra_body": {}, **fields}
    if "structured_outputs" in fields:
        fields["extra_body"] = {"structured_outputs": fields.pop("structured_outputs")}
    return client.chat.completions.create(messages=ASK, model="default", **fields)


def refusal(client: OpenAI, **fields: Any) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    return refused.value


def is_valid(schema: dict[str, Any], text: str) -> bool:
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(json.loads(text))


# -------------------------------------------------------------- response_format


@pytest.mark.parametrize("strict", [True, False, None])
def test_an_answer_satisfies_its_schema(client: OpenAI, strict: bool | None) -> None:
    answer = ask(client, response_format=json_format(PET, strict=strict))

    assert answer.choices[0].finish_reason == "stop"
    assert is_valid(PET, answer.choices[0].message.content)


def test_choices_that_are_drawn_each_satisfy_the_schema_and_a_seed_repeats_them(client: OpenAI) -> None:
    fields: dict[str, Any] = {"response_format": json_format(PET), "n": 4, "temperature": 1.2, "seed": 3}

    first, second = ask(client, **fields), ask(client, **fields)

    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 4
    assert all(is_valid(PET, text) for text in texts)
    assert [choice.message.content for choice in second.choices] == texts


def test_parse_gives_a_pydantic_model(client: OpenAI) -> None:
    for seed in range(4):
        answer = client.chat.completions.parse(
            messages=ASK, model="default", response_format=Pet, max_tokens=400, temperature=0.8, seed=seed
        )
        if answer.choices[0].finish_reason == "stop":
            break

    assert isinstance(answer.choices[0].message.parsed, Pet)


def test_a_streamed_answer_is_the_whole_one_and_parses_at_its_end(client: OpenAI) -> None:
    fields: dict[str, Any] = {"messages": ASK, "model": "default", "response_format": Owner, "max_tokens": 200}
    whole = client.chat.completions.parse(**fields)

    with client.chat.completions.stream(**fields) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()

    assert len(texts) > 3
    assert "".join(texts) == whole.choices[0].message.content
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed
    assert isinstance(final.choices[0].message.parsed, Owner)


def test_an_answer_cut_by_its_limit_says_so(client: OpenAI) -> None:
    answer = ask(client, response_format=json_format(PET), max_tokens=3)

    assert answer.choices[0].finish_reason == "length"
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(messages=ASK, model="default", response_format=Pet, max_tokens=3)


def test_a_json_object_begins_as_one_and_ends_as_one_when_it_ends(client: OpenAI) -> None:
    answers = [ask(client, response_format={"type": "json_object"}, temperature=1, seed=seed, max_tokens=60) for seed in range(3)]

    for answer in answers:
        assert answer.choices[0].message.content.startswith("{")
        if answer.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_text_is_the_format_of_a_free_answer(client: OpenAI) -> None:
    plain = ask(client, max_tokens=12).choices[0].message.content

    assert ask(client, max_tokens=12, response_format={"type": "text"}).choices[0].message.content == plain


def test_log_probabilities_come_with_a_schema(client: OpenAI) -> None:
    answer = ask(client, response_format=json_format(PET), logprobs=True, top_logprobs=5)

    tokens = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == answer.choices[0].message.content
    assert all(token.logprob <= 1e-6 and token.logprob > -9000 for token in tokens)
    assert len(tokens[0].top_logprobs) <= 5


def test_a_stop_string_ends_a_constrained_answer(client: OpenAI) -> None:
    answer = ask(client, response_format=json_format(PET), stop=['", "kind'])

    assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(r'\{"name": "[^"]*', answer.choices[0].message.content)


def test_many_formats_at_once_each_get_their_own_and_free_answers_stay_the_same(client: OpenAI, server: RunningServer) -> None:
    free = ask(client, max_tokens=24).choices[0].message.content
    chance = random.Random(1)
    schemas = [{"type": "object", "properties": {f"k{n}": {"enum": list(range(n + 1))}}, "required": [f"k{n}"]} for n in range(9)]
    jobs: list[dict[str, Any]] = [
        {"response_format": json_format({**schema, "additionalProperties": False})} for schema in schemas
    ]
    jobs += [{"max_tokens": 24}] * 5 + [{"structured_outputs": {"regex": "[0-9]{5}"}}] * 3
    chance.shuffle(jobs)

    with ThreadPoolExecutor(len(jobs)) as pool:
        texts = list(pool.map(lambda job: ask(client, **job).choices[0].message.content, jobs))

    for job, text in zip(jobs, texts, strict=True):
        if "response_format" in job:
            assert is_valid(job["response_format"]["json_schema"]["schema"], text)
        elif "structured_outputs" in job:
            assert re.fullmatch("[0-9]{5}", text)
        else:
            assert text == free


def test_the_async_client_parses_too(server: RunningServer) -> None:
    async def run() -> list[Owner | None]:
        async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
            parse = client.chat.completions.parse
            calls = [
                parse(messages=ASK, model="default", response_format=Owner, max_tokens=200, seed=seed, temperature=1)
                for seed in range(3)
            ]
            return [answer.choices[0].message.parsed for answer in await asyncio.gather(*calls)]

    assert all(isinstance(owner, Owner) for owner in asyncio.run(run()))


# ------------------------------------------------------------ structured_outputs


@pytest.mark.parametrize(
    ("wanted", "pattern"),
    [
        ({"regex": "[0-9]{3}-(é|x)+z"}, "[0-9]{3}-(é|x)+z"),
        ({"choice": ["yes", "no", 'per"haps\n']}, 'yes|no|per"haps\n'),
        ({"grammar": 'start: "(" inner ")"\ninner: /[ab]{3}/ | start'}, r"\(+[ab]{3}\)+"),
        ({"json": {"enum": [1, "b"]}}, '1|"b"'),
    ],
)
def test_an_extension_of_vllm_is_kept(client: OpenAI, wanted: dict[str, Any], pattern: str) -> None:
    answer = ask(client, structured_outputs=wanted, temperature=1, seed=2)

    assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(pattern, answer.choices[0].message.content)


def test_text_completions_keep_to_formats_for_every_prompt(client: OpenAI) -> None:
    answer = client.completions.create(
        model="default", prompt=["One", "Two"], max_tokens=40, extra_body={"structured_outputs": {"regex": "[0-9]{4}"}}
    )

    assert len(answer.choices) == 2
    assert all(re.fullmatch("[0-9]{4}", choice.text) for choice in answer.choices)


# ------------------------------------------------------------------------ errors

SCHEMA = "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"response_format": json_format({"type": "bogus"})}, SCHEMA, "bogus"),
        (
            {"response_format": json_format({"type": "object", "properties": {"a": {"items": {"type": "bogus"}}}})},
            f"{SCHEMA}.properties.a.items",
            "bogus",
        ),
        (
            {"response_format": json_format({"properties": {"a": {"uniqueItems": True}}}, strict=True)},
            f"{SCHEMA}.properties.a.uniqueItems",
            "cannot be kept",
        ),
        ({"response_format": json_format({"enum": []})}, SCHEMA, "empty"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "json_schema"),
        (
            {"response_format": {"type": "json_object", "json_schema": {"name": "a", "schema": {}}}},
            "response_format.json_schema",
            "",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
            "required",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, SCHEMA, "required"),
        ({"response_format": json_format({}, name="a b")}, "response_format.json_schema.name", "pattern"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": "json"}, "response_format", ""),
        ({"response_format": json_format({"description": "x" * 200_000})}, SCHEMA, "bytes"),
        ({"structured_outputs": {"regex": "a(b"}}, "structured_outputs.regex", "character 2: unclosed group"),
        ({"structured_outputs": {"grammar": "start: a\na: b"}}, "structured_outputs.grammar", "line 2"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", ""),
        ({"structured_outputs": {}}, "structured_outputs", "exactly one"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs", "exactly one"),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
            "response_format",
        ),
        ({"extra_body": {"structured_outputs": {"regex": "a"}, "ignore_eos": True}}, "ignore_eos", "ends by itself"),
    ],
)
def test_a_wrong_format_is_a_400_that_names_where_and_why(
    client: OpenAI, fields: dict[str, Any], param: str, reason: str
) -> None:
    error = refusal(client, **fields)

    assert error.param == param
    assert reason in error.message
    assert error.type == "invalid_request_error"


def test_keywords_that_are_not_kept_are_told_in_a_header(client: OpenAI) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "maxItems": 3}

    answer = client.chat.completions.with_raw_response.create(
        messages=ASK, model="default", max_tokens=40, response_format=json_format(schema)
    )

    assert answer.headers["x-schema-left-out"] == "uniqueItems"
    assert isinstance(json.loads(answer.parse().choices[0].message.content), list)


@pytest.mark.parametrize("wanted", [{"regex": "(a+)+b{1,1000}"}, {"regex": "(.*a){99}"}, {"grammar": 'start: start start | "a"'}])
def test_a_costly_format_leaves_the_server_as_it_was(client: OpenAI, server: RunningServer, wanted: dict[str, Any]) -> None:
    before = server.engine()

    body = {"messages": ASK, "structured_outputs": wanted, "temperature": 1, "max_tokens": 40}
    response = server.post("/v1/chat/completions", body)

    assert response.status_code in {200, 400}
    assert server.engine()["restarts"] == before["restarts"]
    assert ask(client, max_tokens=4).choices[0].message.content
