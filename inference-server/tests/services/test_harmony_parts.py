"""An answer in harmony comes apart into thoughts, content and calls, wherever the stream of its text is cut."""

import json
from collections.abc import Sequence

import pytest
from fixtures.harmony import marked
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.services.answer_parts import AnswerShape, CallPart, TextPart, ThoughtPart
from unified_mlx_app.services.harmony_parts import HarmonyParser
from unified_mlx_app.services.tool_calls import Tool, ToolUse
from unified_mlx_app.services.tool_dialects.table import HARMONY
from unified_mlx_app.types import FinishReason, TokenLogprob

WEATHER = Tool("get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
TOOLS = ToolUse((WEATHER, Tool("add")))
PLAIN = AnswerShape(harmony="")
CALLING = AnswerShape(harmony="", dialect=HARMONY, tools=TOOLS)
IN_THOUGHT = AnswerShape(harmony=marked("<|channel|>analysis<|message|>"))
IN_CONTENT = AnswerShape(harmony=marked("<|channel|>final<|message|>"))

NEXT = "<|end|><|start|>assistant"
THOUGHT = f"<|channel|>analysis<|message|>Hm.{NEXT}"
PARIS = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}'
TO_FIRST = ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}'

Parts = tuple[str, str, list[tuple[str, str]]]
"""Thoughts, content and calls."""


def read(shape: AnswerShape, pieces: Sequence[str], reason: FinishReason = "stop") -> tuple[Parts, list[int], int]:
    """The parts, the tokens whose log-probabilities were told, and the number of those in thoughts. A piece is one token."""
    parser = HarmonyParser(shape)
    parts = [
        part
        for number, piece in enumerate(pieces)
        for part in parser.push(piece, 1, [TokenLogprob(token_id=number, logprob=-1.0)])
    ]
    parts += parser.finish(reason)
    thought, content, calls, scored = "", "", list[tuple[str, str]](), list[int]()
    for part in parts:
        match part:
            case ThoughtPart(text=text):
                thought += text
            case TextPart(text=text, logprobs=logprobs):
                content += text
                scored += [logprob.token_id for logprob in logprobs or ()]
            case CallPart(index=index, call=call):
                assert index == len(calls)
                calls.append((call.name, call.arguments))
    return (thought, content, calls), scored, parser.reasoning_tokens


CALL = [("get_weather", '{"city": "Paris"}')]
CASES: list[tuple[AnswerShape, str, str, str, list[tuple[str, str]]]] = [
    (PLAIN, "<|channel|>final<|message|>Yes.<|return|>", "", "Yes.", []),
    (PLAIN, f"{THOUGHT}<|channel|>final<|message|> Yes.\n", "Hm.", " Yes.\n", []),
    (PLAIN, f"{THOUGHT}<|channel|>final <|constrain|>json<|message|>[1]", "Hm.", "[1]", []),
    (PLAIN, f"{THOUGHT}{THOUGHT}<|channel|>final<|message|>Yes.", "Hm.\n\nHm.", "Yes.", []),
    (PLAIN, f"<|channel|>commentary<|message|>Let me see.{NEXT}<|channel|>final<|message|>Yes.", "", "Let me see.\n\nYes.", []),
    (PLAIN, f"<|channel|>commentary<|message|>{NEXT}<|channel|>final<|message|>Yes.", "", "Yes.", []),
    (PLAIN, "<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes.", "Hm.", "Yes.", []),
    (PLAIN, "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Yes.", "Hm.", "Yes.", []),
    (PLAIN, "<|channel|>analysis<|message|>never ends \n", "never ends \n", "", []),
    (PLAIN, f"{THOUGHT}<|channel|>fin", "Hm.", "", []),
    (PLAIN, "<|message|>Yes.", "", "Yes.", []),
    (PLAIN, "<|channel|>final<|message|>a<|message|>b<|constrain|>c", "", "abc", []),
    (PLAIN, " No mark at all", "", " No mark at all", []),
    (PLAIN, " to", "", " to", []),
    (PLAIN, "to be<|end|>", "", "to be", []),
    (PLAIN, "  \n", "", "  \n", []),
    (PLAIN, "Words<|channel|>final<|message|>Yes.", "", "Words\n\nYes.", []),
    (PLAIN, "<|channel|>final<|message|>Yes.<|end|><|start|>user<|message|>And?<|end|>", "", "Yes.", []),
    (PLAIN, "<|channel|>analysis to=python code<|message|>print(1)<|call|>", "print(1)", "", []),
    (PLAIN, f"{THOUGHT}{PARIS}<|call|>", "Hm.", '{"city": "Paris"}', []),
    (CALLING, f"{THOUGHT}{PARIS}<|call|>", "Hm.", "", CALL),
    (CALLING, f"{THOUGHT}{PARIS}", "Hm.", "", CALL),
    (CALLING, f"{THOUGHT}{TO_FIRST}<|call|>", "Hm.", "", CALL),
    (CALLING, f"{TO_FIRST}{NEXT}{PARIS}<|call|>", "", "", [*CALL, *CALL]),
    (CALLING, f"<|channel|>commentary<|message|>Let me see.{NEXT}{PARIS}", "", "Let me see.", CALL),
    (CALLING, PARIS.replace("commentary", "analysis"), "", "", CALL),
    (CALLING, PARIS.replace("functions.", ""), "", "", CALL),
    (CALLING, PARIS.replace(" <|constrain|>json", ""), "", "", CALL),
    (CALLING, PARIS.replace(" <|constrain|>", "<|constrain|>"), "", "", CALL),
    (CALLING, "<|channel|>commentary to=functions.add<|message|><|call|>", "", "", [("add", "{}")]),
    (CALLING, "<|channel|>commentary to=functions.add<|message|>[1]<|call|>", "", "[1]", []),
    (CALLING, PARIS.replace("get_weather", "launch"), "", '{"city": "Paris"}', []),
    (CALLING, PARIS.removesuffix('"}'), "", '{"city": "Paris', []),
    (CALLING, f"{THOUGHT}<|channel|>final<|message|>Yes.", "Hm.", "Yes.", []),
    (IN_THOUGHT, f"Hm.{NEXT}<|channel|>final<|message|>Yes.", "Hm.", "Yes.", []),
    (IN_CONTENT, "Yes.<|return|>", "", "Yes.", []),
]


@pytest.mark.parametrize(("shape", "text", "thought", "content", "calls"), CASES, ids=[case[1][:70] for case in CASES])
def test_every_cut_of_the_stream_gives_the_same_parts(
    shape: AnswerShape, text: str, thought: str, content: str, calls: list[tuple[str, str]]
) -> None:
    text = marked(text)

    for pieces in ([text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))):
        assert read(shape, pieces)[0] == (thought, content, calls), pieces


_FRAGMENTS = st.sampled_from(
    [
        *map(marked, ("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>")),
        *map(marked, (PARIS, TO_FIRST, THOUGHT, NEXT)),
        "assistant",
        "analysis",
        "commentary",
        "final",
        " to=functions.add",
        "t",
        "user",
        "{}",
        "a",
        " ",
        "\n",
    ]
)


@given(
    fragments=st.lists(_FRAGMENTS, max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    shape=st.sampled_from([PLAIN, CALLING, IN_THOUGHT, IN_CONTENT]),
    reason=st.sampled_from(["stop", "length"]),
)
@settings(max_examples=400, deadline=None)
def test_any_text_gives_the_same_parts_however_it_is_cut(
    fragments: list[str], cuts: list[int], shape: AnswerShape, reason: FinishReason
) -> None:
    text = "".join(fragments)
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    whole, by_pieces, by_letter = (read(shape, cut, reason)[0] for cut in ([text], pieces, list(text)))

    assert by_pieces == whole
    assert by_letter == whole
    assert not any(mark in part for part in whole[:2] for mark in marked("<|start|><|channel|><|message|><|end|><|call|>"))


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=5))
@settings(max_examples=200, deadline=None)
def test_words_that_look_like_control_tokens_are_words(text: str, cuts: list[int]) -> None:
    said = f"<|end|>{text}<|start|>assistant<|channel|>analysis<|message|>"
    ends = sorted({min(cut, len(said)) for cut in cuts} | {len(said)})
    pieces = [said[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    assert read(IN_CONTENT, pieces)[0] == ("", said, [])


def test_tokens_of_thoughts_are_counted_and_those_of_content_keep_their_log_probabilities() -> None:
    texts = [
        *("<|channel|>", "analysis", "<|message|>", "H", "m", "<|end|>", "<|start|>", "assistant"),
        *("<|channel|>", "commentary", "<|message|>", "O", "k", "<|end|>", "<|start|>", "assistant"),
        *(" to=functions.add", "<|channel|>", "commentary", "<|message|>", "{", "}", ""),
    ]

    parts, scored, reasoning_tokens = read(CALLING, [marked(text) for text in texts])

    assert parts == ("Hm", "Ok", [("add", "{}")])
    assert [texts[number] for number in scored] == ["O", "k"]
    assert reasoning_tokens == 6


def test_the_end_token_of_a_thought_that_never_closes_is_part_of_it() -> None:
    assert read(PLAIN, [*map(marked, ("<|channel|>", "analysis", "<|message|>", "Hm")), ""])[2] == 5


@pytest.mark.parametrize("size", range(len(marked(PARIS)) + 1))
def test_a_call_that_the_limit_cuts_is_never_half_a_call(size: int) -> None:
    (thought, content, calls), _, _ = read(CALLING, list(marked(PARIS)[:size]), "length")

    assert (thought, calls) == ("", [])
    assert '{"city": "Paris"}'.startswith(content)


def test_only_the_first_call_is_told_when_one_at_a_time_is_wanted() -> None:
    one = AnswerShape(harmony="", dialect=HARMONY, tools=ToolUse(TOOLS.tools, is_parallel=False))

    assert read(one, [marked(f"{PARIS}<|call|><|start|>assistant{PARIS}<|call|>")])[0][2] == CALL


def test_arguments_that_are_json_within_json_are_read() -> None:
    text = PARIS.replace('{"city": "Paris"}', json.dumps('{"city": "Paris"}'))

    assert read(CALLING, [marked(text)])[0][2] == CALL
