"""Text comes out whole: no half characters, no stop string or part of one, nothing lost at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fixtures.harmony import marked as in_harmony
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from unified_mlx_app.engine.text import TextStream
from unified_mlx_app.types import Markup

Decode = Callable[[Sequence[int]], str]


def _byte_alphabet() -> list[str]:
    """The printable stand-ins of GPT-2's byte-level alphabet, by byte."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]


class ByteTokens:
    """A real byte-level tokenizer whose vocabulary is exactly the pieces that a test cuts a text into."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        alphabet = _byte_alphabet()
        names = dict.fromkeys([*alphabet, *("".join(alphabet[byte] for byte in piece) for piece in pieces)])
        vocabulary = {name: number for number, name in enumerate(names)}
        tokenizer = Tokenizer(BPE(vocabulary, []))
        tokenizer.decoder = decoders.ByteLevel()
        self.ids = [vocabulary["".join(alphabet[byte] for byte in piece)] for piece in pieces]
        self.decode: Decode = lambda ids: tokenizer.decode(list(ids))


def streamed(tokens: ByteTokens, stop: Sequence[str] = ()) -> tuple[list[str], bool]:
    """The pieces of text that came out, and whether a stop string ended it."""
    stream = TextStream(tokens.decode, stop)
    pieces: list[str] = []
    for token_id in tokens.ids:
        piece = stream.push(token_id)
        pieces.append(piece.text)
        if piece.is_stopped:
            return pieces, True
    last = stream.finish()
    return [*pieces, last.text], last.is_stopped


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    ends = [*sorted(set(at)), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


TEXTS = ["é", "한국", "👍🏽", "👨‍👩‍👧", "नमस्ते", "a😀b", "\u0301\u200d", "日本語 text", "ﷺ\U0010ffff"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_way_to_cut_a_text_into_two_or_three_tokens_gives_the_text(text: str) -> None:
    data = text.encode()
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            pieces, _ = streamed(ByteTokens(cut(data, [first, second])))

            assert "".join(pieces) == text
            assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@pytest.mark.parametrize("text", TEXTS)
def test_one_token_for_each_byte_gives_each_character_when_it_is_complete(text: str) -> None:
    pieces, _ = streamed(ByteTokens([bytes([byte]) for byte in text.encode()]))

    assert "".join(pieces) == text
    assert [piece for piece in pieces if piece] == list(text)


printable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\N{REPLACEMENT CHARACTER}"), max_size=12)


@given(printable, st.lists(st.integers(0, 48), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_text_cut_anywhere_comes_out_whole(text: str, at: list[int]) -> None:
    data = text.encode()

    pieces, is_stopped = streamed(ByteTokens(cut(data, [i for i in at if i < len(data)])))

    assert "".join(pieces) == text
    assert not is_stopped


@given(
    st.text("abé😀", max_size=14),
    st.lists(st.integers(0, 56), max_size=14),
    st.lists(st.text("abé😀", min_size=1, max_size=4), min_size=1, max_size=3),
)
@example("aab", [1, 2], ["ab"])
@example("abab", [2], ["abb", "ba"])
@settings(max_examples=150, deadline=None)
def test_output_ends_before_the_first_stop_string_and_is_whole_without_one(text: str, at: list[int], stop: list[str]) -> None:
    data = text.encode()

    pieces, is_stopped = streamed(ByteTokens(cut(data, [i for i in at if i < len(data)])), stop)

    found = [position for each in stop if (position := text.find(each)) >= 0]
    assert is_stopped == bool(found)
    given_text = "".join(pieces)
    if not found:
        assert given_text == text
    else:
        # Which of two overlapping stop strings is complete first depends on the cut; none may ever be shown.
        assert text.startswith(given_text)
        assert not any(each in given_text for each in stop)
        assert any(text.startswith(each, len(given_text)) for each in stop)


def test_a_stop_string_over_three_tokens_is_never_shown() -> None:
    tokens = ByteTokens([b"Hello ", b"EN", b"D", b" OF", b" it"])

    pieces, is_stopped = streamed(tokens, ["END OF"])

    assert is_stopped
    assert pieces == ["Hello ", "", "", ""]


def test_what_only_looked_like_a_stop_string_is_shown_as_soon_as_that_is_clear() -> None:
    tokens = ByteTokens([b"Hello ", b"EN", b"D", b" it"])

    pieces, _ = streamed(tokens, ["END OF"])

    assert pieces == ["Hello ", "", "", "END it", ""]


def test_held_text_is_given_when_the_answer_ends_at_its_length() -> None:
    pieces, is_stopped = streamed(ByteTokens([b"go", b" EN"]), ["END"])

    assert pieces == ["go", " ", "EN"]
    assert not is_stopped


def test_a_stop_string_at_the_very_end_ends_the_text() -> None:
    pieces, is_stopped = streamed(ByteTokens([b"go", b" END"]), ["END"])

    assert pieces == ["go", " "]
    assert is_stopped


def test_the_earliest_of_several_stop_strings_counts() -> None:
    pieces, is_stopped = streamed(ByteTokens([b"one two three"]), ["three", "two"])

    assert pieces == ["one "]
    assert is_stopped


def test_a_character_cut_by_the_length_limit_is_dropped() -> None:
    pieces, _ = streamed(ByteTokens([b"ok ", "😀".encode()[:3]]))

    assert "".join(pieces) == "ok "


def test_broken_bytes_are_shown_and_do_not_hold_the_rest_back() -> None:
    tokens = ByteTokens([b"\x80"] * 12 + [b"fine"])

    pieces, _ = streamed(tokens)

    assert "".join(pieces) == "\N{REPLACEMENT CHARACTER}" * 12 + "fine"
    assert any(pieces[:12])


def test_pieces_of_a_real_tokenizer_join_to_its_own_decoding(tiny_models: Callable[..., Path]) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_models() / "tokenizer.json"))
    text = "Größe: 한국어 👨‍👩‍👧 <tool>\n\tdef f(x): return x  # ok"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    stream = TextStream(lambda part: tokenizer.decode(list(part)))

    pieces = [stream.push(token_id).text for token_id in ids]

    assert "".join(pieces) + stream.finish().text == tokenizer.decode(ids)


SPANS = Markup(spans=(("<t>", "</t>"), ("[C]", "")))


def marked(text: str, stop: Sequence[str], markup: Markup) -> tuple[str, bool]:
    """One token a character."""
    tokens = ByteTokens([bytes([byte]) for byte in text.encode()])
    stream = TextStream(tokens.decode, stop, markup)
    pieces = [stream.push(token_id) for token_id in tokens.ids]
    ended = next((index for index, piece in enumerate(pieces) if piece.is_stopped), None)
    if ended is not None:
        return "".join(piece.text for piece in pieces[: ended + 1]), True
    last = stream.finish()
    return "".join(piece.text for piece in pieces) + last.text, last.is_stopped


@pytest.mark.parametrize(
    ("text", "kept", "is_stopped"),
    [
        ("<t>a STOP b</t>c STOP d", "<t>a STOP b</t>c ", True),
        ("x STOP <t>", "x ", True),
        ("<t>never STOP ends", "<t>never STOP ends", False),
        ("a [C] STOP and STOP", "a [C] STOP and STOP", False),
        ("<t>a</t><t>STOP</t>STOP", "<t>a</t><t>STOP</t>", True),
        ("a <STOP", "a <", True),
        ("a </t>STOP", "a </t>", True),
    ],
)
def test_stop_strings_count_outside_of_spans_only(text: str, kept: str, is_stopped: bool) -> None:
    assert marked(text, ["STOP"], SPANS) == (kept, is_stopped)


def test_a_span_that_the_prompt_opened_ends_in_the_answer() -> None:
    opened = Markup(spans=SPANS.spans, open_end="</t>")

    assert marked("a STOP</t>b STOP c", ["STOP"], opened) == ("a STOP</t>b ", True)


@pytest.mark.parametrize(
    ("opening", "text", "kept"),
    [
        ("", "<|channel|>final<|message|>a STOP b", "<|channel|>final<|message|>a "),
        ("", "<|channel|>final <|constrain|>json<|message|>STOP", "<|channel|>final <|constrain|>json<|message|>"),
        (
            "",
            "<|channel|>analysis<|message|>STOP<|end|><|start|>STOP<|channel|>final<|message|>STOP",
            "<|channel|>analysis<|message|>STOP<|end|><|start|>STOP<|channel|>final<|message|>STOP",
        ),
        (
            "",
            "<|channel|>analysis<|message|>STOP<|end|><|start|>assistant<|channel|>commentary<|message|>a STOP",
            "<|channel|>analysis<|message|>STOP<|end|><|start|>assistant<|channel|>commentary<|message|>a ",
        ),
        ("", "<|channel|>commentary to=functions.f<|message|>STOP", "<|channel|>commentary to=functions.f<|message|>STOP"),
        ("", " to=functions.f<|channel|>commentary<|message|>STOP", " to=functions.f<|channel|>commentary<|message|>STOP"),
        ("", "<|channel|>final<|message|>a ST<|end|>OP", "<|channel|>final<|message|>a ST<|end|>OP"),
        ("", "a STOP b", "a "),
        ("", "to STOP", "to "),
        ("", "to", "to"),
        ("<|channel|>final<|message|>", "a STOP b", "a "),
        ("<|channel|>analysis<|message|>", "a STOP", "a STOP"),
    ],
)
def test_stop_strings_count_in_what_harmony_shows_only(opening: str, text: str, kept: str) -> None:
    markup = Markup(harmony=in_harmony(opening))

    assert marked(in_harmony(text), ["STOP"], markup) == (in_harmony(kept), kept != text)


def test_control_tokens_that_are_shown_stand_in_their_places() -> None:
    text = "é1한"
    tokens = ByteTokens([bytes([byte]) for byte in text.encode()])
    stream = TextStream(tokens.decode, ["NO"], Markup(shown_tokens={-1: "[CALL]", -2: "<n>"}))

    ids = [-1, *tokens.ids[:2], -2, *tokens.ids[2:], -1]
    pieces = [stream.push(token_id) for token_id in ids] + [stream.finish()]

    assert "".join(piece.text for piece in pieces) == "[CALL]é<n>1한[CALL]"


def test_a_shown_token_after_half_a_character_drops_the_half() -> None:
    tokens = ByteTokens([bytes([byte]) for byte in "한".encode()])
    stream = TextStream(tokens.decode, [], Markup(shown_tokens={-1: "|"}))

    pieces = [stream.push(token_id) for token_id in (*tokens.ids[:2], -1, *tokens.ids)]

    assert "".join(piece.text for piece in pieces) == "|한"
