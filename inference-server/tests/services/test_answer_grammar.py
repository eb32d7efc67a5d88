"""What the grammars of answers allow: walked through with the tokens of a tokenizer that knows every dialect's marks."""

import json
from typing import Any

import pytest
from chat_tokenizer import END_OF_TURN, cached_tokenizer
from fixtures.formats import SCHEMA, TOOLS, is_answer
from tokenizers import AddedToken
from unified_mlx_app.services.answer_grammar import GrammarInput, answer_constraint
from unified_mlx_app.services.answer_parts import AnswerParser, AnswerShape, CallPart
from unified_mlx_app.services.format_worker import CheckedFormat, check
from unified_mlx_app.services.reasoning import ThinkMarks
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.table import DIALECTS, JSON, Dialect

THINK = ThinkMarks("<think>", "</think>")
OSLO = {"city": "Oslo"}
FORCIBLE = [dialect for dialect in DIALECTS.values() if dialect.name != "minicpm5"]


@pytest.fixture(scope="module")
def tokenizer() -> LoadedTokenizer:
    """Marks are control tokens here, but for those of GLM and Muse."""
    backend = cached_tokenizer(2048, think=True)
    marks = {mark for dialect in FORCIBLE for mark in (dialect.start, dialect.end, *dialect.inner_marks) if "arg_" not in mark}
    single = {mark for mark in marks if mark and "atem" not in mark and mark.count("<|") < 2}
    backend.add_special_tokens([AddedToken(mark, special=True) for mark in sorted(single | {"<|open|>", "<|close|>", "<|sep|>"})])
    end_ids = frozenset([backend.token_to_id(END_OF_TURN)])
    return LoadedTokenizer(backend, backend.get_vocab_size(), end_ids, None, "", {}, is_byte_level=True)


def grammar_of(tokenizer: LoadedTokenizer, **fields: Any) -> str:
    shape = {name: fields.pop(name) for name in ("think", "is_thinking", "dialect", "tools") if name in fields}
    arguments = {"get_weather": "%json " + json.dumps(SCHEMA)} if fields.pop("is_strict", True) else {}
    given = GrammarInput(AnswerShape(**shape), arguments, fields.get("content"), fields.get("may_think", True))
    constraint = answer_constraint(given, tokenizer)
    assert constraint is not None
    return constraint.grammar


def written(dialect: Dialect, *arguments: dict[str, str], name: str = "get_weather") -> str:
    """Calls as the grammar demands them."""
    start, end = dialect.start, dialect.end
    texts = [json.dumps(each) for each in arguments]
    match dialect.name:
        case "kimi_k2":
            calls = "".join(
                f"<|tool_call_begin|>functions.{name}:{number}<|tool_call_argument_begin|>{text}<|tool_call_end|>"
                for number, text in enumerate(texts)
            )
            return f"{start}{calls}{end}"
        case "mistral":
            return "".join(f"{start}{name}[ARGS]{text}" for text in texts)
        case "bare_json":
            return "; ".join(f'{{"name": "{name}", "parameters": {text}}}' for text in texts)
        case _:
            return "\n".join(f'{start}\n{{"name": "{name}", "arguments": {text}}}\n{end}' for text in texts)


def parsed(dialect: Dialect, text: str) -> list[tuple[str, Any]]:
    parser = AnswerParser(AnswerShape(dialect=dialect, tools=ToolUse(TOOLS)))
    parts = parser.push(text) + parser.finish("stop")
    return [(part.call.name, json.loads(part.call.arguments)) for part in parts if isinstance(part, CallPart)]


@pytest.mark.parametrize("dialect", FORCIBLE, ids=lambda dialect: dialect.name)
def test_a_demanded_call_is_a_call_in_every_dialect(tokenizer: LoadedTokenizer, dialect: Dialect) -> None:
    grammar = grammar_of(tokenizer, dialect=dialect, tools=ToolUse(TOOLS, must_call=True))

    one, two = written(dialect, OSLO), written(dialect, OSLO, {"city": "Rome"})
    assert is_answer(grammar, one, tokenizer)
    assert parsed(dialect, one) == [("get_weather", OSLO)]
    assert is_answer(grammar, two, tokenizer)
    assert len(parsed(dialect, two)) == 2
    assert not is_answer(grammar, written(dialect, {"city": "Paris"}), tokenizer)
    assert not is_answer(grammar, written(dialect, OSLO, name="launch"), tokenizer)
    assert not is_answer(grammar, "Hello", tokenizer)
    assert not is_answer(grammar, "", tokenizer)


@pytest.mark.parametrize("dialect", FORCIBLE, ids=lambda dialect: dialect.name)
def test_one_call_at_a_time_is_one(tokenizer: LoadedTokenizer, dialect: Dialect) -> None:
    use = ToolUse(TOOLS, must_call=True, is_parallel=False, allowed=frozenset({"get_weather"}))
    grammar = grammar_of(tokenizer, dialect=dialect, tools=use)

    assert is_answer(grammar, written(dialect, OSLO), tokenizer)
    assert not is_answer(grammar, written(dialect, OSLO, OSLO), tokenizer)
    assert not is_answer(grammar, written(dialect, {}, name="add"), tokenizer)


@pytest.mark.parametrize("dialect", FORCIBLE, ids=lambda dialect: dialect.name)
def test_a_strict_tool_binds_its_calls_and_leaves_text_free(tokenizer: LoadedTokenizer, dialect: Dialect) -> None:
    grammar = grammar_of(tokenizer, dialect=dialect, tools=ToolUse(TOOLS))
    text = "" if dialect.name == "bare_json" else "Let me <see>.\n"

    assert is_answer(grammar, "Just a text, 1 < 2.", tokenizer)
    assert is_answer(grammar, text + written(dialect, OSLO), tokenizer)
    assert is_answer(grammar, text + written(dialect, {}, name="add"), tokenizer)
    assert not is_answer(grammar, text + written(dialect, {"city": "Paris"}), tokenizer)


def test_a_model_may_think_before_it_calls(tokenizer: LoadedTokenizer) -> None:
    use, call = ToolUse(TOOLS, must_call=True), written(JSON, OSLO)
    closed = grammar_of(tokenizer, think=THINK, dialect=JSON, tools=use)
    opened = grammar_of(tokenizer, think=THINK, is_thinking=True, dialect=JSON, tools=use)
    silent = grammar_of(tokenizer, think=THINK, dialect=JSON, tools=use, may_think=False)

    assert is_answer(closed, f"<think>\n1 < 2, {{so}}: <tool_call>\n</think>\n\n{call}", tokenizer)
    assert is_answer(closed, call, tokenizer)
    assert is_answer(opened, f"\nHm.\n</think>\n\n{call}", tokenizer)
    assert not is_answer(opened, "\nHm.\n</think>\n\nHello", tokenizer)
    assert not is_answer(opened, "\nHm.\n", tokenizer)
    assert is_answer(silent, call, tokenizer)
    assert not is_answer(silent, f"<think>Hm.</think>{call}", tokenizer)


def test_content_in_a_format_may_follow_a_thought_or_be_calls_instead(tokenizer: LoadedTokenizer) -> None:
    content: CheckedFormat = check("choice", b'["yes", "no"]', is_strict=True)
    alone = grammar_of(tokenizer, think=THINK, content=content)
    beside_tools = grammar_of(tokenizer, think=THINK, dialect=JSON, tools=ToolUse(TOOLS), content=content)

    for grammar in (alone, beside_tools):
        assert is_answer(grammar, "<think>Hm.</think>\n\nyes", tokenizer)
        assert is_answer(grammar, "no", tokenizer)
        assert not is_answer(grammar, "<think>Hm.</think>maybe", tokenizer)
    assert is_answer(beside_tools, written(JSON, OSLO), tokenizer)


def test_a_whole_grammar_may_follow_a_thought(tokenizer: LoadedTokenizer) -> None:
    content = check("lark", json.dumps('start: "{" word\nword: /[a-z]+/ "}"').encode(), is_strict=True)

    grammar = grammar_of(tokenizer, think=THINK, is_thinking=True, content=content)

    assert is_answer(grammar, "Hm.</think>{abc}", tokenizer)


def test_nothing_demanded_is_no_constraint(tokenizer: LoadedTokenizer) -> None:
    use = ToolUse((Tool("add"),))

    assert answer_constraint(GrammarInput(AnswerShape(think=THINK), {}, None, may_think=True), tokenizer) is None
    assert answer_constraint(GrammarInput(AnswerShape(dialect=JSON, tools=use), {}, None, may_think=True), tokenizer) is None
