"""Guesses what a row will say next, for one pass over the model to check. Guesses cost time when wrong and never an answer.

Engine thread only.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.engine.runner import Runner

_SEAM = -1  # Between a prediction and the prompt; no token has this id.
_MIN_MATCH_TOKENS = 2
_MAX_MATCH_TOKENS = 8
"""A longer match is not sought: it would hardly choose another place."""


class Guesser(Protocol):
    def guess(self, num_tokens: int) -> list[int]:
        """At most `num_tokens` tokens that may follow."""
        ...

    def add(self, tokens: list[int]) -> None:
        """The row gave `tokens`."""
        ...


class PromptLookup:
    """Guesses that the text goes on as it did where its last tokens occurred before, in the prompt, the answer so far or a
    prediction of the answer; for as long as the answer is the prediction, that it stays so."""

    def __init__(self, prompt: NDArray[np.int32], prediction: list[int], max_tokens: int) -> None:
        self._prediction = prediction
        self._text = np.empty(len(prediction) + 1 + len(prompt) + max_tokens, np.int32)
        start = np.concatenate([np.asarray([*prediction, _SEAM], np.int32), prompt])
        self._text[: len(start)] = start
        self._end = len(start)
        self._num_predicted = 0
        self._is_as_predicted = bool(prediction)

    def add(self, tokens: list[int]) -> None:
        self._text[self._end : self._end + len(tokens)] = tokens
        self._end += len(tokens)
        if self._is_as_predicted:
            predicted = self._prediction[self._num_predicted : self._num_predicted + len(tokens)]
            self._is_as_predicted = predicted == tokens
            self._num_predicted += len(tokens)

    def guess(self, num_tokens: int) -> list[int]:
        if self._is_as_predicted and self._num_predicted < len(self._prediction):
            return self._prediction[self._num_predicted : self._num_predicted + num_tokens]
        start = self._place()
        if start is None:
            return []
        following: list[int] = self._text[start : min(start + num_tokens, self._end)].tolist()
        return following[: following.index(_SEAM)] if _SEAM in following else following

    def _place(self) -> int | None:
        """Where the text goes on after the latest of the longest matches of its end; one comparison a token of the text."""
        text = self._text[: self._end]
        found = np.flatnonzero(text[:-1] == text[-1])
        num_matching = 1
        while len(found) and num_matching < _MAX_MATCH_TOKENS:
            longer = found[found >= num_matching]
            longer = longer[text[longer - num_matching] == text[-1 - num_matching]]
            if not len(longer):
                break
            found, num_matching = longer, num_matching + 1
        return int(found[-1]) + 1 if len(found) and num_matching >= _MIN_MATCH_TOKENS else None


class DraftModel:
    """Guesses what a smaller model would say. It reads the prompt by itself, a chunk a guess, and guesses nothing before it
    has caught up, so that a long prompt delays nobody."""

    def __init__(self, runner: Runner, prompt: NDArray[np.int32], *, max_tokens: int, vocab_size: int, chunk_tokens: int) -> None:
        self._runner = runner
        self._vocab_size = vocab_size
        self._chunk_tokens = chunk_tokens
        self._caches: list[Any] = runner.start()
        self._num_held = 0
        self._text = np.empty(len(prompt) + max_tokens, np.int32)
        self._text[: len(prompt)] = prompt
        self._end = len(prompt)
        self._guessed: list[int] = []

    def add(self, tokens: list[int]) -> None:
        """Its caches keep what was guessed right."""
        num_right = next(
            (i for i, pair in enumerate(zip(self._guessed, tokens, strict=False)) if pair[0] != pair[1]), len(tokens)
        )
        self._keep(self._end + num_right)
        self._text[self._end : self._end + len(tokens)] = tokens
        self._end += len(tokens)
        self._guessed = []

    def guess(self, num_tokens: int) -> list[int]:
        unread = self._text[self._num_held : self._end]
        if len(unread) and int(unread.max()) >= self._vocab_size:
            return []  # MLX does not check ids (0.32); a target with more rows than words never says one of them.
        if len(unread) > self._chunk_tokens:
            self._runner.prefill(self._caches, unread[: self._chunk_tokens])
            self._num_held += self._chunk_tokens
            return []
        self._keep(self._end - 1)
        self._guessed = self._runner.continue_greedily(self._caches, self._text[self._num_held : self._end], num_tokens)
        self._num_held = self._end + num_tokens - 1
        return self._guessed

    def _keep(self, num_tokens: int) -> None:
        if num_tokens < self._num_held:
            for cache in self._caches:
                cache.trim(self._num_held - num_tokens)
            self._num_held = num_tokens
