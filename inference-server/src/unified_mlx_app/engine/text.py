"""Turns one row's tokens into text as they come: never half a character, and nothing that may still become a stop string."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_MAX_UNDECIDED_TOKENS = 8
"""A character takes at most four tokens of one byte each; text still undecided after twice that is broken and shown as it is."""

_MAX_INCOMPLETE_TOKENS = 3
"""An incomplete character has at most three bytes of the four it may take."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is certain now; with `is_stopped` a stop string was found and nothing follows."""

    text: str
    is_stopped: bool = False


class TextStream:
    """The pieces joined are `decode(all tokens)`, cut before the first stop string."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._window_start = 0  # Decoding starts here, so that a token sees the ones it may join with.
        self._decided_end = 0  # Text of tokens before this has left the window.
        self._window_text = ""
        self._held = ""

    def push(self, token_id: int) -> Piece:
        """Take one token."""
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
        text = self._decode(self._ids[self._window_start :])
        piece = self._release(text[len(self._window_text) :].rstrip(_REPLACEMENT))
        if piece.is_stopped:
            return piece
        held, self._held = self._held, ""
        return Piece(piece.text + held)

    def _release(self, delta: str) -> Piece:
        if not self._stop:
            return Piece(delta)
        pending = self._held + delta
        found = [index for stop in self._stop if (index := pending.find(stop)) >= 0]
        if found:
            self._held = ""
            return Piece(pending[: min(found)], is_stopped=True)
        num_held = max(_overlap(pending, stop) for stop in self._stop)
        self._held = pending[len(pending) - num_held :]
        return Piece(pending[: len(pending) - num_held])


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper start of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
