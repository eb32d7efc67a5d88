"""What grammars of answers in harmony allow, walked through token by token, and that the parser reads the same from it."""

import json
from typing import Any

import pytest
from fixtures.formats import SCHEMA, TOOLS, is_answer
from fixtures.harmony import loaded_harmony_tokenizer, marked
from unified_mlx_app.errors import UnsupportedFieldError
from unified_mlx_app.services.answer_parts import AnswerShape, CallPart
from unified_mlx_app.services.answer_rules import AnswerRules
from unified_mlx_app.services.format_worker import check
from unified_mlx_app.services.harmony_grammar import HarmonyDemand, can_be_demanded, harmony_constraint
from unified_mlx_app.services.harmony_parts import HarmonyParser
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.table import HARMONY
from unified_mlx_app.types import Constraint

STRICT = {"get_weather": "%json " + json.dumps(SCHEMA)}
NEXT = "<|end|><|start|>assistant"
THOUGHT = f"<|channel|>analysis<|message|>1 < 2, {{so}}:\n{NEXT}"
PREAMBLE = f"<|channel|>commentary<|message|>Let me see.{NEXT}"
YES_OR_NO = check("choice", b'["yes", "no"]', is_strict=True)
PET = check("json_schema", b'{"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]}', is_strict=True)


@pytest.fixture(scope="module")
def tokenizer() -> LoadedTokenizer:
    return loaded_harmony_tokenizer()


def call(arguments: str = '{"city": "Oslo"}', name: str = "get_weather", kind: str = " <|constrain|>json") -> str:
    return f"<|channel|>commentary to=functions.{name}{kind}<|message|>{arguments}"


def call_by_role(arguments: str = '{"city": "Oslo"}', name: str = "get_weather") -> str:
    return f" to=functions.{name}<|channel|>commentary json<|message|>{arguments}"


def final(text: str) -> str:
    return f"<|channel|>final<|message|>{text}"


def constraint_of(tokenizer: LoadedTokenizer, **fields: Any) -> Constraint:
    demand = {"opening": "", "use": None, "arguments": {}, "content": None, "may_think": True, **fields}
    constraint = harmony_constraint(HarmonyDemand(**demand), tokenizer)
    assert constraint is not None
    return constraint


def test_a_demanded_call_is_written_in_either_way_and_read_back(tokenizer: LoadedTokenizer) -> None:
    use = ToolUse(TOOLS, must_call=True)
    constraint = constraint_of(tokenizer, use=use, arguments=STRICT)

    for text in (call(), call(kind=""), call(kind="<|constrain|>json"), call(kind=" json"), call_by_role(), THOUGHT + call()):
        parser = HarmonyParser(AnswerShape(harmony="", dialect=HARMONY, tools=use))
        parts = [*parser.push(marked(text)), *parser.finish("stop")]
        calls = [part.call for part in parts if isinstance(part, CallPart)]
        assert is_answer(constraint.grammar, text, tokenizer), text
        assert [(each.name, json.loads(each.arguments)) for each in calls] == [("get_weather", {"city": "Oslo"})]
    assert is_answer(constraint.grammar, call('{"any": [1]}', name="add"), tokenizer)
    for text in (
        call('{"city": "Paris"}'),
        call(name="launch"),
        call('{"city": "Oslo"'),
        PREAMBLE + call(),
        final("Hello"),
        THOUGHT,
        "Hello",
        "",
    ):
        assert not is_answer(constraint.grammar, text, tokenizer), text


def test_only_tools_that_may_be_called_now_are(tokenizer: LoadedTokenizer) -> None:
    use = ToolUse(TOOLS, must_call=True, allowed=frozenset({"add"}))
    constraint = constraint_of(tokenizer, use=use)

    assert is_answer(constraint.grammar, call("{}", name="add"), tokenizer)
    assert not is_answer(constraint.grammar, call(), tokenizer)


def test_a_strict_tool_binds_its_calls_and_leaves_text_free(tokenizer: LoadedTokenizer) -> None:
    constraint = constraint_of(tokenizer, use=ToolUse(TOOLS), arguments=STRICT)

    for text in (final("1 < 2."), THOUGHT + PREAMBLE + THOUGHT + call(), PREAMBLE + call_by_role(), PREAMBLE + final("Yes.")):
        assert is_answer(constraint.grammar, text, tokenizer), text
    assert is_answer(constraint.grammar, "<|channel|>commentary<|message|>Only this.", tokenizer)
    assert not is_answer(constraint.grammar, THOUGHT + call('{"city": "Paris"}'), tokenizer)
    assert not is_answer(constraint.grammar, call(name="launch"), tokenizer)


def test_content_in_a_format_is_the_final_channel_and_thoughts_before_it_are_free(tokenizer: LoadedTokenizer) -> None:
    constraint = constraint_of(tokenizer, content=YES_OR_NO)

    assert constraint.kind == "choice"
    assert is_answer(constraint.grammar, final("yes"), tokenizer)
    assert is_answer(constraint.grammar, THOUGHT + final("no"), tokenizer)
    for text in (
        "yes",
        final("maybe"),
        THOUGHT + final(""),
        PREAMBLE + final("yes"),
        THOUGHT * 2 + final("yes"),
        THOUGHT,
        final(f"yes{NEXT}"),
    ):
        assert not is_answer(constraint.grammar, text, tokenizer), text


def test_json_may_be_announced(tokenizer: LoadedTokenizer) -> None:
    constraint = constraint_of(tokenizer, content=PET)

    assert is_answer(constraint.grammar, THOUGHT + '<|channel|>final <|constrain|>json<|message|>{"a": 1}', tokenizer)
    assert is_answer(constraint.grammar, final('{"a": 1}'), tokenizer)
    assert not is_answer(constraint.grammar, final('{"a": 2}'), tokenizer)


def test_a_call_may_stand_for_content_in_a_format(tokenizer: LoadedTokenizer) -> None:
    constraint = constraint_of(tokenizer, use=ToolUse(TOOLS), arguments=STRICT, content=YES_OR_NO)

    assert is_answer(constraint.grammar, THOUGHT + call(), tokenizer)
    assert is_answer(constraint.grammar, THOUGHT + final("yes"), tokenizer)
    assert not is_answer(constraint.grammar, THOUGHT + final("maybe"), tokenizer)
    assert not is_answer(constraint.grammar, call('{"city": "Paris"}'), tokenizer)


def test_a_whole_grammar_may_be_the_content(tokenizer: LoadedTokenizer) -> None:
    content = check("lark", json.dumps('start: "{" word\nword: /[a-z]+/ "}"').encode(), is_strict=True)

    assert is_answer(constraint_of(tokenizer, content=content).grammar, THOUGHT + final("{abc}"), tokenizer)


def test_a_model_that_may_not_think_does_not(tokenizer: LoadedTokenizer) -> None:
    for fields in ({"content": YES_OR_NO}, {"use": ToolUse(TOOLS), "arguments": STRICT}):
        constraint = constraint_of(tokenizer, may_think=False, **fields)

        assert is_answer(constraint.grammar, final("yes"), tokenizer)
        assert not is_answer(constraint.grammar, THOUGHT + final("yes"), tokenizer)


def test_a_thought_that_the_prompt_opened_is_ended_first(tokenizer: LoadedTokenizer) -> None:
    opening = marked("<|channel|>analysis<|message|>")
    constraint = constraint_of(tokenizer, opening=opening, content=YES_OR_NO)

    assert can_be_demanded(opening)
    assert is_answer(constraint.grammar, f"Hm.{NEXT}{final('yes')}", tokenizer)
    assert not is_answer(constraint.grammar, final("yes"), tokenizer)
    assert not can_be_demanded(marked("<|channel|>final<|message|>"))


def test_nothing_demanded_is_no_constraint(tokenizer: LoadedTokenizer) -> None:
    for use in (None, ToolUse((Tool("add"),))):
        assert harmony_constraint(HarmonyDemand("", use, {}, None, may_think=True), tokenizer) is None


def test_a_demand_is_refused_where_the_template_has_begun_the_answer(tokenizer: LoadedTokenizer) -> None:
    rules = AnswerRules(tokenizer, AnswerShape(harmony=""), YES_OR_NO, None, {})
    free = AnswerRules(tokenizer, AnswerShape(harmony=""), None, None, {})
    prompt = "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>final<|message|>"

    with pytest.raises(UnsupportedFieldError, match="begins the answer itself"):
        rules.for_prompt(prompt)
    shape, markup, constraint = free.for_prompt(prompt)

    assert shape.harmony == markup.harmony == marked("<|channel|>final<|message|>")
    assert constraint is None
