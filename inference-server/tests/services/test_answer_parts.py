"""An answer comes apart into thoughts, content and calls, wherever the stream of its text is cut."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.services.answer_parts import AnswerParser, AnswerShape, CallPart, Part, TextPart, ThoughtPart
from unified_mlx_app.services.reasoning import ThinkMarks
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.table import BARE_JSON, DIALECTS, JSON
from unified_mlx_app.types import FinishReason, TokenLogprob

THINK = ThinkMarks("<think>", "</think>")
K3 = ThinkMarks("<|open|>think<|sep|>", "<|close|>think<|sep|>", ("<|open|>response<|sep|>", "<|close|>response<|sep|>"))
WEATHER = Tool("get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
TOOLS = ToolUse((WEATHER, Tool("add")))
PARIS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
OSLO = PARIS.replace("Paris", "Oslo")

PLAIN = AnswerShape()
THINKING = AnswerShape(think=THINK)
IN_THOUGHT = AnswerShape(think=THINK, is_thinking=True)
CALLING = AnswerShape(dialect=JSON, tools=TOOLS)
BOTH = AnswerShape(think=THINK, dialect=JSON, tools=TOOLS)


@dataclass
class Read:
    """All that came out of one answer."""

    thought: str = ""
    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    reasoning_tokens: int = 0

    def take(self, parts: Sequence[Part]) -> None:
        for part in parts:
            match part:
                case ThoughtPart(text=text):
                    self.thought += text
                case TextPart(text=text, logprobs=logprobs):
                    self.content += text
                    self.scored += [logprob.token_id for logprob in logprobs or ()]
                case CallPart(index=index, call=call):
                    assert index == len(self.calls)
                    self.calls.append((call.name, call.arguments))


def read(shape: AnswerShape, pieces: Sequence[str], reason: FinishReason = "stop") -> Read:
    """One token a piece, whose id is its number."""
    parser, result = AnswerParser(shape), Read()
    for number, piece in enumerate(pieces):
        result.take(parser.push(piece, 1, [TokenLogprob(token_id=number, logprob=-1.0)]))
    result.take(parser.finish(reason))
    result.reasoning_tokens = parser.reasoning_tokens
    return result


CASES = [
    (PLAIN, " <think>as it is</think> ", "", " <think>as it is</think> ", 0),
    (THINKING, "<think>\nHm.\n</think>\n\nYes.\n", "Hm.", "Yes.\n", 0),
    (THINKING, "\n<think>\n\n</think>\n\nYes.", "", "Yes.", 0),
    (THINKING, "No thought < here <th", "", "No thought < here <th", 0),
    (THINKING, "The tag <think> is text </think>", "", "The tag <think> is text </think>", 0),
    (THINKING, "<think>never ends \n", "never ends", "", 0),
    (THINKING, "<think>a</think><think>b</think>c", "ab", "c", 0),
    (THINKING, "  \n ", "", "  \n ", 0),
    (IN_THOUGHT, "\nHm. <b>\n</think>Yes", "Hm. <b>", "Yes", 0),
    (IN_THOUGHT, "<think>\nHm.</think>Yes", "Hm.", "Yes", 0),
    (IN_THOUGHT, "Hm.</thi", "Hm.</thi", "", 0),
    (IN_THOUGHT, "<thi", "<thi", "", 0),
    (
        AnswerShape(think=K3),
        "<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>b<|close|>response<|sep|>",
        "a",
        "b",
        0,
    ),
    (CALLING, PARIS, "", "", 1),
    (CALLING, f"Let me look.\n{PARIS}\n{OSLO}\n", "", "Let me look.", 2),
    (CALLING, f"{PARIS}\nThen.", "", "Then.", 1),
    (CALLING, "<tool_call>\n{broken}\n</tool_call> ok ", "", "<tool_call>\n{broken}\n</tool_call> ok ", 0),
    (CALLING, f"a <tool_call>broken {PARIS}", "", "a <tool_call>broken", 1),
    (CALLING, PARIS.replace("get_weather", "launch"), "", PARIS.replace("get_weather", "launch"), 0),
    (CALLING, PARIS.removesuffix("</tool_call>"), "", "", 1),
    (CALLING, PARIS.removesuffix('"}}\n</tool_call>'), "", PARIS.removesuffix('"}}\n</tool_call>'), 0),
    (CALLING, PARIS.replace("Paris", "</tool_call> & <tool_call>"), "", "", 1),
    (CALLING, '<tool_call>{"name": "add"}</tool_call>', "", "", 1),
    (BOTH, f"<think>\nWhich?\n</think>\n\n{PARIS}", "Which?", "", 1),
    (BOTH, f"<think>\nWhich? {PARIS}", "Which?", "", 1),
    (BOTH, "<think>a <tool_call>b</tool_call> c</think>d", "a <tool_call>b</tool_call> c", "d", 0),
    (AnswerShape(dialect=BARE_JSON, tools=TOOLS), '\n{"name": "add", "parameters": {"a": 1}}', "", "", 1),
    (AnswerShape(dialect=BARE_JSON, tools=TOOLS), '[{"name": "add"}, {"name": "add"}]', "", "", 2),
    (AnswerShape(dialect=BARE_JSON, tools=TOOLS), '{"name": "Bob"}', "", '{"name": "Bob"}', 0),
    (AnswerShape(dialect=BARE_JSON, tools=TOOLS), 'It is {"name": "add"}', "", 'It is {"name": "add"}', 0),
    (
        AnswerShape(dialect=DIALECTS["mistral"], tools=TOOLS),
        'Hm [TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]add[ARGS]{}',
        "",
        "Hm",
        2,
    ),
]


@pytest.mark.parametrize(("shape", "text", "thought", "content", "num_calls"), CASES, ids=[repr(case[1])[:60] for case in CASES])
def test_every_cut_of_the_stream_gives_the_same_parts(
    shape: AnswerShape, text: str, thought: str, content: str, num_calls: int
) -> None:
    for pieces in ([text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))):
        result = read(shape, pieces)

        assert (result.thought, result.content, len(result.calls)) == (thought, content, num_calls), pieces
        assert all(isinstance(json.loads(arguments), dict) for _, arguments in result.calls)


_FRAGMENTS = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        '{"name": "add", "arguments": {}}',
        PARIS,
        '{"name": "',
        "a",
        "\n",
        " ",
        "<",
        '"}',
    ]
)


@given(
    fragments=st.lists(_FRAGMENTS, max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    shape=st.sampled_from([THINKING, IN_THOUGHT, CALLING, BOTH, AnswerShape(dialect=BARE_JSON, tools=TOOLS)]),
    reason=st.sampled_from(["stop", "length"]),
)
@settings(max_examples=400, deadline=None)
def test_any_text_gives_the_same_parts_however_it_is_cut(
    fragments: list[str], cuts: list[int], shape: AnswerShape, reason: FinishReason
) -> None:
    text = "".join(fragments)
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    whole, by_pieces, by_letter = (read(shape, cut, reason) for cut in ([text], pieces, list(text)))

    for result in (by_pieces, by_letter):
        assert (result.thought, result.content, result.calls) == (whole.thought, whole.content, whole.calls)


@given(st.text("abc<>/think \n", max_size=40), st.lists(st.integers(0, 40), max_size=5))
@settings(max_examples=200, deadline=None)
def test_text_without_marks_passes_as_it_is(text: str, cuts: list[int]) -> None:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    if "<think>" not in text:
        assert read(THINKING, pieces).content == text
    assert read(CALLING, pieces).content == text


def test_tokens_of_thoughts_are_counted_and_those_of_content_keep_their_log_probabilities() -> None:
    pieces = [
        "<think>",
        "\n",
        "Hm",
        ".",
        "</think>",
        "\n\n",
        "Ye",
        "s",
        " ",
        "<tool_call>",
        '{"name": "add"}',
        "</tool_call>",
        "",
    ]

    result = read(BOTH, pieces)

    assert result.reasoning_tokens == 5
    assert [pieces[number] for number in result.scored] == ["Ye", "s"]


def test_the_end_token_of_a_thought_that_never_closes_is_part_of_it() -> None:
    assert read(THINKING, ["<think>", "Hm", ""]).reasoning_tokens == 3


@pytest.mark.parametrize("text", [PARIS[:size] for size in range(1, len(PARIS))])
def test_a_call_that_the_limit_cuts_is_text_and_never_half_a_call(text: str) -> None:
    result = read(CALLING, list(text), "length")

    assert result.calls == []
    assert result.content == text


def test_a_complete_call_before_the_cut_one_is_kept() -> None:
    result = read(CALLING, list(PARIS + "\n" + OSLO[:30]), "length")

    assert result.calls == [("get_weather", '{"city": "Paris"}')]
    assert result.content == OSLO[:30]


def test_only_the_first_call_is_told_when_one_at_a_time_is_wanted() -> None:
    one = AnswerShape(dialect=JSON, tools=ToolUse(TOOLS.tools, is_parallel=False))

    assert read(one, [PARIS, "\n", OSLO]).calls == [("get_weather", '{"city": "Paris"}')]


def test_a_tool_that_may_not_be_called_now_is_not_called() -> None:
    only_add = AnswerShape(dialect=JSON, tools=ToolUse(TOOLS.tools, allowed=frozenset({"add"})))

    assert read(only_add, [PARIS]).calls == []


def test_a_thousand_open_marks_take_no_time() -> None:
    text = "<tool_call>" * 1000

    assert read(CALLING, [text[at : at + 3] for at in range(0, len(text), 3)]).content == text
