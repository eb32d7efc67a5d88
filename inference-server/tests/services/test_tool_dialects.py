"""Every dialect that mlx-lm reads is read here too, from streams cut anywhere, and never with an error."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.harmony import loaded_harmony_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from unified_mlx_app.services.answer_parts import AnswerParser, AnswerShape, CallPart, TextPart
from unified_mlx_app.services.tokenizers import LoadedTokenizer, load_tokenizer
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.calls import MalformedCallError, to_value
from unified_mlx_app.services.tool_dialects.table import DIALECTS, HARMONY, dialect_of

MLX_DIALECTS = sorted(
    path.stem for path in Path(importlib.import_module("mlx_lm.tool_parsers").__file__).parent.glob("[a-z]*.py")
)

PROPERTIES = {
    "city": {"type": "string"},
    "days": {"type": "integer"},
    "share": {"type": "number"},
    "exact": {"type": "boolean"},
    "tags": {"type": "array"},
    "area": {"type": "object"},
}
WEATHER = Tool("get_weather", parameters={"type": "object", "properties": PROPERTIES})
USE = ToolUse((WEATHER, Tool("add")))
SCHEMAS = {tool.name: tool.parameters for tool in USE.tools}
MLX_TOOLS = USE.for_template()

FULL = {"city": "São 'Paulo', \"BR\"", "days": 3, "share": 0.5, "exact": True, "tags": ["a", {"b": None}], "area": {"x": [1, 2]}}
PARIS = {"city": "Paris"}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def unquoted(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


def tagged(value: dict[str, Any], before: str, between: str, after: str) -> str:
    return "".join(f"{before}{key}{between}{unquoted(each)}{after}" for key, each in value.items())


def gemma(value: Any, quote: str) -> str:
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{gemma(each, quote)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(gemma(each, quote) for each in value) + "]"
    return as_json(value)


def kimi_k2(name: str, arguments: dict[str, Any], number: int) -> str:
    inner = f"functions.{name}:{number}<|tool_call_argument_begin|>{as_json(arguments)}"
    return f"<|tool_call_begin|>{inner}<|tool_call_end|>"


def kimi_k3(name: str, arguments: dict[str, Any], number: int) -> str:
    types = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
    inner = "".join(
        f'<|open|>argument key="{key}" type="{types[type(each)]}"<|sep|>{unquoted(each)}<|close|>argument<|sep|>'
        for key, each in arguments.items()
    )
    return f'<|open|>call tool="{name}" index="{number}"<|sep|>{inner}<|close|>call<|sep|>'


def pythonic(name: str, arguments: dict[str, Any]) -> str:
    return f"[{name}({', '.join(f'{key}={each!r}' for key, each in arguments.items())})]"


def keyed(name: str, arguments: dict[str, Any], prefix: str = "") -> str:
    between = f"</{prefix}arg_key>\n<{prefix}arg_value>"
    return f"{name}\n" + tagged(arguments, f"<{prefix}arg_key>", between, f"</{prefix}arg_value>\n")


def muse(name: str, arguments: dict[str, Any]) -> str:
    inner = tagged(arguments, '<atem:parameter name="', '">', "</atem:parameter>\n")
    return f'\n<atem:invoke name="{name}">\n{inner}</atem:invoke>\n'


WRITERS: dict[str, Callable[[str, dict[str, Any], int], str]] = {
    "json_tools": lambda name, arguments, _: as_json({"name": name, "arguments": arguments}),
    "bare_json": lambda name, arguments, _: as_json({"name": name, "parameters": arguments}),
    "mistral": lambda name, arguments, _: f"{name}[ARGS]{as_json(arguments)}",
    "kimi_k2": kimi_k2,
    "kimi_k3": kimi_k3,
    "qwen3_coder": lambda name, arguments, _: (
        f"\n<function={name}>\n" + tagged(arguments, "<parameter=", ">\n", "\n</parameter>\n") + "</function>\n"
    ),
    "minimax_m2": lambda name, arguments, _: (
        f'\n<invoke name="{name}">\n' + tagged(arguments, '<parameter name="', '">', "</parameter>\n") + "</invoke>\n"
    ),
    "minicpm5": lambda name, arguments, _: f'"{name}">' + tagged(arguments, '<param name="', '">', "</param>"),
    "muse_spark": lambda name, arguments, _: muse(name, arguments),
    "glm47": lambda name, arguments, _: keyed(name, arguments),
    "laguna": lambda name, arguments, _: keyed(name, arguments),
    "longcat": lambda name, arguments, _: keyed(name, arguments, "longcat_"),
    "pythonic": lambda name, arguments, _: pythonic(name, arguments),
    "gemma4": lambda name, arguments, _: f"call:{name}" + gemma(arguments, '<|"|>'),
    "function_gemma": lambda name, arguments, _: f"call:{name}" + gemma(arguments, "<escape>"),
}


def body(dialect: str, name: str, arguments: dict[str, Any], number: int = 0) -> str:
    """One call as a model of this dialect writes it between the marks."""
    return WRITERS[dialect](name, arguments, number)


def read(dialect: str, pieces: list[str], reason: Any = "stop") -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """Content and calls."""
    parser = AnswerParser(AnswerShape(dialect=DIALECTS[dialect], tools=USE))
    parts = [part for piece in pieces for part in parser.push(piece)] + parser.finish(reason)
    calls = [(part.call.name, json.loads(part.call.arguments)) for part in parts if isinstance(part, CallPart)]
    return "".join(part.text for part in parts if isinstance(part, TextPart)), calls


def answer(dialect: str, *bodies: str) -> str:
    known = DIALECTS[dialect]
    return "\n".join(f"{known.start}{each}{known.end}" for each in bodies)


def test_every_dialect_of_mlx_lm_is_known() -> None:
    assert set(MLX_DIALECTS) <= set(DIALECTS)
    for name in MLX_DIALECTS:
        module = importlib.import_module(f"mlx_lm.tool_parsers.{name}")
        assert (DIALECTS[name].start, DIALECTS[name].end) == (module.tool_call_start, module.tool_call_end)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_values_of_every_type_come_out_as_they_went_in(dialect: str) -> None:
    assert DIALECTS[dialect].parse(body(dialect, "get_weather", FULL), SCHEMAS)[0].arguments == FULL


@pytest.mark.parametrize("dialect", MLX_DIALECTS)
@pytest.mark.parametrize("arguments", [PARIS, {"days": 3, "exact": False}, {"city": "a < b & c", "share": 1.5}])
def test_mlx_lm_reads_the_same(dialect: str, arguments: dict[str, Any]) -> None:
    text = body(dialect, "get_weather", arguments)
    parsed = importlib.import_module(f"mlx_lm.tool_parsers.{dialect}").parse_tool_call(text, MLX_TOOLS)

    (call,) = DIALECTS[dialect].parse(text, SCHEMAS)

    (theirs,) = parsed if isinstance(parsed, list) else [parsed]
    assert (call.name, call.arguments) == (theirs["name"], theirs["arguments"]) == ("get_weather", arguments)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_cut_anywhere_gives_the_call(dialect: str) -> None:
    before = "" if dialect == "bare_json" else "Let me look.\n"
    text = before + answer(dialect, body(dialect, "get_weather", PARIS))

    for pieces in ([text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))):
        assert read(dialect, pieces) == (before.strip(), [("get_weather", PARIS)])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_several_calls_come_in_order(dialect: str) -> None:
    bodies = [body(dialect, "get_weather", {"city": city}, number) for number, city in enumerate(("Oslo", "Rome"))]

    _, calls = read(dialect, list(answer(dialect, *bodies)))

    assert calls == [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})]


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) - {"minicpm5", "kimi_k2"}))
def test_calls_written_as_json_between_the_marks_are_calls(dialect: str) -> None:
    payload = as_json({"name": "get_weather", "arguments": PARIS})

    assert read(dialect, list(answer(dialect, f"\n{payload}\n")))[1] == [("get_weather", PARIS)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cut_answer_never_gives_half_a_call(dialect: str) -> None:
    text = answer(dialect, body(dialect, "get_weather", PARIS))

    for size in range(1, len(text)):
        content, calls = read(dialect, [text[:size]], "length")

        assert calls == [] or calls == [("get_weather", PARIS)]
        assert calls or content == text[:size]


_PIECES = st.sampled_from(
    [*"{}[]()<>\"'=:,\\|/ \na1", "get_weather", "<|sep|>", "call:", "null", "1e999", "NaN", "\ud7ff", "<parameter=city>"]
)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_calls_degrade_into_content_and_nothing_is_lost(dialect: str, data: st.DataObject) -> None:
    whole = body(dialect, "get_weather", FULL)
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    damaged = whole[:start] + "".join(data.draw(st.lists(_PIECES, max_size=6))) + whole[end:]
    text = answer(dialect, damaged)

    content, calls = read(dialect, [text])

    assert read(dialect, list(text)) == (content, calls)
    assert all(name in SCHEMAS and json.dumps(arguments, allow_nan=False) for name, arguments in calls)
    if not calls:
        assert content == text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "text", ["", " ", "[" * 3000, "{" * 3000, "(" * 3000, '{"a":' * 3000, "-" * 3000, "get_weather", "9" * 5000, "\0"]
)
def test_hostile_payloads_are_malformed_at_worst(dialect: str, text: str) -> None:
    try:
        calls = DIALECTS[dialect].parse(text, SCHEMAS)
    except MalformedCallError:
        return

    assert all(isinstance(call.arguments, dict) for call in calls)


@pytest.mark.parametrize("dialect", ["json_tools", "qwen3_coder", "minimax_m2", "muse_spark", "pythonic", "gemma4", "glm47"])
def test_the_end_mark_within_a_value_does_not_end_the_call(dialect: str) -> None:
    arguments = {"city": f"x {DIALECTS[dialect].end} y"}

    assert read(dialect, list(answer(dialect, body(dialect, "get_weather", arguments))))[1] == [("get_weather", arguments)]


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "string"}, "5"),
        ("5", {"type": "integer"}, 5),
        ("5.0", {"type": "integer"}, 5),
        ("5.5", {"type": "integer"}, 5.5),
        ("inf", {"type": "number"}, "inf"),
        ("True", {"type": "boolean"}, True),
        ("null", {"type": ["string", "null"]}, None),
        ("null", {"type": "string"}, "null"),
        ("[1, 'a']", {"type": "array"}, [1, "a"]),
        ('{"a": true}', {"anyOf": [{"type": "object"}, {"type": "null"}]}, {"a": True}),
        ("red", {"enum": ["red", "blue"]}, "red"),
        ("3", {"enum": [1, 2, 3]}, 3),
        ("7", {}, 7),
        ("some words", None, "some words"),
        ("{1, 2}", None, "{1, 2}"),
        ("not a list", {"type": "array"}, "not a list"),
    ],
)
def test_unquoted_values_are_read_as_their_schema_says(text: str, schema: dict[str, Any] | None, value: Any) -> None:
    assert to_value(text, schema) == value


TEMPLATES = {
    "minimax_m2": "<minimax:tool_call>",
    "gemma4": "<|tool_call> <tool_call|>",
    "function_gemma": "<start_function_call>",
    "longcat": "<longcat_tool_call>",
    "glm47": "<tool_call> <arg_key>",
    "pythonic": "<|tool_list_start|>",
    "qwen3_coder": "<tool_call>\\n<function=",
    "kimi_k2": "<|tool_calls_section_begin|>",
    "minicpm5": '<function name="a"><param name="b">',
    "mistral": "[TOOL_CALLS]",
    "muse_spark": "<atem:function_calls>",
    "json_tools": "<tool_call> {{ tc.name }}",
    "bare_json": "{% if tools %}",
}


def tokenizer(template: str, *tokens: str, **fields: Any) -> LoadedTokenizer:
    backend = Tokenizer.from_str('{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}')
    backend.add_tokens([AddedToken(token) for token in tokens])
    known: dict[str, Any] = {"vocab_size": 9, "eos_token_ids": frozenset(), "max_context_tokens": None, "special_tokens": {}}
    return LoadedTokenizer(backend=backend, chat_template=template, is_byte_level=True, **known, **fields)


@pytest.mark.parametrize(("dialect", "template"), TEMPLATES.items())
def test_the_template_tells_the_dialect(dialect: str, template: str) -> None:
    assert dialect_of(tokenizer(template)) == DIALECTS[dialect]


def test_the_configuration_goes_before_the_template_and_the_vocabulary_comes_last() -> None:
    assert dialect_of(tokenizer("[TOOL_CALLS]", tool_parser_type="glm47")) == DIALECTS["glm47"]
    assert dialect_of(tokenizer("plain", "<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")) == DIALECTS["kimi_k3"]
    assert dialect_of(tokenizer("plain", "<|tool_call_start|>", "<|tool_call_end|>")) == DIALECTS["pythonic"]
    assert dialect_of(tokenizer("plain")) is None


def test_control_tokens_that_the_template_writes_tell_harmony() -> None:
    assert dialect_of(loaded_harmony_tokenizer()) == HARMONY
    assert dialect_of(loaded_harmony_tokenizer("<|start|><|channel|><|message|> no t00ls")) is None
    assert dialect_of(loaded_harmony_tokenizer("<tool_call>")) == DIALECTS["json_tools"]


def test_the_demo_model_writes_json(demo_model: Path) -> None:
    assert dialect_of(load_tokenizer(demo_model)) == DIALECTS["json_tools"]
