"""Formats checked in processes that may die: bombs cost their own request only, verdicts are kept."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.services.format_worker import CheckedFormat
from unified_mlx_app.services.structured_output import MAX_BYTES, MAX_KEPT, StructuredOutput, WantedFormat

pytestmark = pytest.mark.anyio

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@asynccontextmanager
async def running_formats() -> AsyncGenerator[StructuredOutput, None]:
    formats = StructuredOutput()
    try:
        yield formats
    finally:
        await formats.close()


def wanted(kind: Any, content: Any, *, is_strict: bool = True) -> WantedFormat:
    return WantedFormat(kind, content, "some.field", is_strict)


async def refusal(formats: StructuredOutput, kind: Any, content: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as refused:
        await formats.check(wanted(kind, content))
    return refused.value


async def test_every_kind_becomes_a_constraint() -> None:
    contents = {"json_schema": PERSON, "regex": "[a-z]+", "choice": ["a", "b"], "lark": 'start: "a"'}
    async with running_formats() as formats:
        checked = [await formats.check(wanted(kind, content)) for kind, content in contents.items()]

    assert [each.constraint.kind for each in checked] == list(contents)
    assert all(each.constraint.grammar.startswith("start: ") for each in checked)


async def test_a_wrong_schema_names_the_field_and_the_place_in_it() -> None:
    async with running_formats() as formats:
        error = await refusal(formats, "json_schema", {"type": "object", "properties": {"a": {"items": {"type": "bogus"}}}})

    assert error.param == "some.field.properties.a.items"
    assert error.message == "Invalid value for some.field.properties.a.items: Invalid type: bogus."


async def test_a_verdict_is_kept_and_told_again_without_a_process() -> None:
    async with running_formats() as formats:
        first = await formats.check(wanted("json_schema", PERSON))
        wrong = await refusal(formats, "regex", "(a")
        await formats.close()

        assert await formats.check(wanted("json_schema", PERSON)) is first
        assert (await refusal(formats, "regex", "(a")).message == wrong.message
        assert formats._pool is None


async def test_strict_and_not_strict_are_different_verdicts() -> None:
    schema = {"type": "array", "uniqueItems": True}
    async with running_formats() as formats:
        await refusal(formats, "json_schema", schema)

        assert (await formats.check(wanted("json_schema", schema, is_strict=False))).left_out == ("uniqueItems",)


async def test_only_the_last_verdicts_are_kept() -> None:
    async with running_formats() as formats:
        for number in range(MAX_KEPT + 10):
            await formats.check(wanted("regex", f"a{number}"))

        assert len(formats._verdicts) == MAX_KEPT


@pytest.mark.parametrize("kind", ["json_schema", "regex", "lark"])
async def test_a_format_that_is_too_long_is_refused_unread(kind: Any) -> None:
    content = {"description": "x" * MAX_BYTES[kind]} if kind == "json_schema" else "x" * MAX_BYTES[kind]
    async with running_formats() as formats:
        error = await refusal(formats, kind, content)

        assert error.param == "some.field"
        assert str(MAX_BYTES[kind]) in error.message
        assert formats._pool is None


def _doubling(levels: int, start: str, name: str) -> str:
    rules = "\n".join(f"{name}{n}: {name}{n + 1} {name}{n + 1}" for n in range(levels))
    return f'{start}: {name}0\n{rules}\n{name}{levels}: "x"'


BOMBS = [
    ("regex", "(a+)+$"),
    ("regex", "((a{1,1000}){1,1000}){1,1000}"),
    ("regex", "(.*a){200}(.*b){200}(.*c){200}"),
    ("regex", "|".join(f"{n}.*" for n in range(2500))),
    ("regex", "(" * 8000 + ")" * 8000),
    ("lark", _doubling(60, "start", "A")),
    ("lark", _doubling(60, "start", "a")),
    ("lark", "start: " + "(" * 10_000 + '"a"' + ")" * 10_000),
    ("lark", "start: " + " ".join(f"/.{{{n}}}x/?" for n in range(1500))),
    ("lark", "start: /a{1,1000}.*b/ & /.*c.{500}/ & ~/.*d.*e{300}/" * 100),
    ("json_schema", {"allOf": [{"anyOf": [{"properties": {f"p{n}{m}": {}}} for m in range(10)]} for n in range(10)]}),
    ("json_schema", {"type": "object", "properties": {f"p{n}": {"pattern": ".*x.{99}", "type": "string"} for n in range(2500)}}),
    ("json_schema", {"type": "array", "minItems": 10**15, "items": {"type": "string", "maxLength": 10**15}}),
    (
        "json_schema",
        {"$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(99)}, "$ref": "#/$defs/d0"},
    ),
]


@pytest.mark.parametrize(("kind", "content"), BOMBS, ids=[str(number) for number in range(len(BOMBS))])
async def test_a_bomb_ends_in_time_and_the_next_format_is_checked(kind: Any, content: Any) -> None:
    async with running_formats() as formats:
        await formats.check(wanted("regex", "warm"))
        began_at = time.monotonic()
        lags: list[float] = []
        watcher = asyncio.create_task(_watch(lags))

        verdicts = await asyncio.gather(formats.check(wanted(kind, content)), return_exceptions=True)
        watcher.cancel()

        assert time.monotonic() - began_at < 20
        assert max(lags, default=0) < 1.0
        assert isinstance(verdicts[0], CheckedFormat | InvalidRequestError)
        assert (await formats.check(wanted("regex", "next"))).constraint.kind == "regex"


async def _watch(lags: list[float]) -> None:
    """How late the event loop comes back."""
    while True:
        asked_at = time.monotonic()
        await asyncio.sleep(0.01)
        lags.append(time.monotonic() - asked_at - 0.01)
