"""Turns one row's tokens into text as they come: never half a character, and nothing that may still become a stop string."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unified_mlx_app.harmony import MessageReader
from unified_mlx_app.marks import first_mark, overlap
from unified_mlx_app.types import Markup

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_MAX_UNDECIDED_TOKENS = 8
"""A character takes at most four tokens of one byte each; text still undecided after twice that is broken and shown as it is."""

_MAX_INCOMPLETE_TOKENS = 3
"""An incomplete character has at most three bytes of the four it may take."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is certain now; after `stop`, a stop string that was found, nothing follows."""

    text: str
    stop: str | None = None

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None


class TextStream:
    """The pieces joined are `decode(all tokens)` with the markup's control tokens in their places, cut before the first
    stop string outside of the markup's spans."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = (), markup: Markup | None = None) -> None:
        self._decode = decode
        self._shown_tokens = markup.shown_tokens if markup else {}
        self._stops = _stop_finder(stop, markup or Markup()) if stop else None
        self._ids: list[int] = []
        self._window_start = 0  # Decoding starts here, so that a token sees the ones it may join with.
        self._decided_end = 0  # Text of tokens before this has left the window.
        self._window_text = ""

    def push(self, token_id: int) -> Piece:
        """Take one token."""
        if (shown := self._shown_tokens.get(token_id)) is not None:
            return self._release(self._cut() + shown)
        self._ids.append(token_id)
        text = self._decode(self._ids[self._window_start :])
        end = len(self._ids)
        if text.endswith(_REPLACEMENT):
            if end - self._decided_end <= _MAX_UNDECIDED_TOKENS:
                return Piece("")
            end -= _MAX_INCOMPLETE_TOKENS
            text = self._decode(self._ids[self._window_start : end])
        delta = text[len(self._window_text) :]
        self._window_start, self._decided_end = self._decided_end, end
        self._window_text = self._decode(self._ids[self._window_start : end])
        return self._release(delta)

    def finish(self) -> Piece:
        """Take what is left when no token follows; a character cut in the middle is dropped."""
        piece = self._release(self._cut())
        if piece.is_stopped or self._stops is None:
            return piece
        return Piece(piece.text + self._stops.flush())

    def _cut(self) -> str:
        """The text that was undecided; what follows is decoded by itself."""
        text = self._decode(self._ids[self._window_start :])[len(self._window_text) :].rstrip(_REPLACEMENT)
        self._window_start = self._decided_end = len(self._ids)
        self._window_text = ""
        return text

    def _release(self, delta: str) -> Piece:
        return Piece(delta) if self._stops is None else self._stops.take(delta)


class _StopFinder:
    """Holds text back while it may become a stop string; inside of a span none counts."""

    def __init__(self, stop: Sequence[str], markup: Markup) -> None:
        self._stop = tuple(stop)
        self._end_of = dict(markup.spans)
        self._end = markup.open_end or None
        self._held = ""

    def take(self, delta: str) -> Piece:
        pending, released = self._held + delta, ""
        while True:
            sought = (*self._stop, *self._end_of) if self._end is None else (self._end,) if self._end else ()
            index, mark = first_mark(pending, sought)
            if mark is None:
                num_held = max((overlap(pending, each) for each in sought), default=0)
                self._held = pending[len(pending) - num_held :]
                return Piece(released + pending[: len(pending) - num_held])
            if self._end is None and mark in self._stop:
                self._held = ""
                return Piece(released + pending[:index], stop=mark)
            released, pending = released + pending[: index + len(mark)], pending[index + len(mark) :]
            self._end = self._end_of[mark] if self._end is None else None

    def flush(self) -> str:
        held, self._held = self._held, ""
        return held


class _HarmonyStops:
    """Looks for stop strings in those messages that the answer's reader sees, in each by itself."""

    def __init__(self, stop: Sequence[str], opening: str) -> None:
        self._reader = MessageReader(opening)
        self._finder = _StopFinder(stop, Markup())

    def take(self, delta: str) -> Piece:
        released = ""
        for run in self._reader.push(delta):
            if not run.is_visible:
                released += self._finder.flush() + run.text
                continue
            piece = self._finder.take(run.text)
            released += piece.text
            if piece.is_stopped:
                return Piece(released, piece.stop)
        return Piece(released)

    def flush(self) -> str:
        return self._finder.flush() + "".join(run.text for run in self._reader.finish())


def _stop_finder(stop: Sequence[str], markup: Markup) -> _StopFinder | _HarmonyStops:
    return _StopFinder(stop, markup) if markup.harmony is None else _HarmonyStops(stop, markup.harmony)
