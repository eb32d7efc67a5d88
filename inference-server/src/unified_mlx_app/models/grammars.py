"""Compiles grammars for one tokenizer: which tokens may come next, as bits over the vocabulary.

llguidance parses bytes, not tokens, so an answer may be cut into tokens in any way and in the middle of a character. Every cost
is bounded: a grammar that is too large is refused, and one that turns out too intricate for a step ends its row. Both
processes use this module, so it knows no MLX.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

MAX_KEPT = 64
"""Compiled grammars of one tokenizer: some are megabytes."""

_INITIAL_LEXER_FUEL = 500_000
_STEP_LEXER_FUEL = 200_000  # llguidance's own: 14 ms a step at most.
_STEP_MAX_ITEMS = 30_000
_MAX_ROW_ITEMS = 15_000  # An `anyOf` of 1,000 objects makes 11,000; llguidance's own limit is 2,000.
_MAX_LEXER_STATES = 50_000  # Of 1 to 2 kB each.
_MAX_GRAMMAR_SIZE = 200_000
_BYTE_VOCAB_SIZE = 262  # Of llguidance's tokenizer "byte" (1.9): 256 bytes and control tokens, the end token last.


class GrammarError(Exception):
    """A grammar is wrong, or too much for one of the limits. The text is llguidance's."""


class GrammarRow:
    """Follows one answer through a grammar. One thread at a time."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def advance(self, token_id: int) -> None:
        """Take the answer's next token. Raises GrammarError when the grammar does not allow it."""
        if not self._matcher.is_stopped() and not self._matcher.consume_token(token_id):
            raise GrammarError(_words(self._matcher))

    def mask(self) -> NDArray[np.uint32]:
        """Bit `i % 32` of word `i // 32` tells whether token `i` may come next; after the end only an end token may.

        Raises GrammarError when none may, or when finding out was too much work.
        """
        words = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)
        if self._matcher.is_error():
            raise GrammarError(_words(self._matcher))
        if not words.any():
            raise GrammarError("no text can satisfy it")
        return words


@dataclass(frozen=True, slots=True)
class Grammar:
    """A compiled grammar, which any number of answers share."""

    owner: "Grammars"
    matcher: LLMatcher

    def begin(self) -> GrammarRow:
        """An answer at its start."""
        return GrammarRow(self.matcher.deep_copy())


class Grammars:
    """Grammars compiled for one tokenizer, the last `MAX_KEPT` kept. Any thread; compiling gives up the interpreter's lock.

    `vocab_size` is the model's, which may be more than the tokenizer's: ids without a token are never allowed.
    """

    def __init__(self, tokenizer_json: Callable[[], str], *, vocab_size: int, end_token_ids: Sequence[int]) -> None:
        self._tokenizer_json = tokenizer_json
        self._vocab_size = vocab_size
        self._end_token_ids = list(end_token_ids)
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[str, Grammar] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, text: str) -> Grammar | None:
        """The grammar of `text` if it was compiled lately."""
        with self._lock:
            if text in self._compiled:
                self._compiled.move_to_end(text)
            return self._compiled.get(text)

    def compile(self, text: str) -> Grammar:
        """The grammar of `text`, which is Lark. Raises GrammarError.

        The first one takes up to a second for a large vocabulary, because the tokenizer is read then.
        """
        if (known := self.find(text)) is not None:
            return known
        matcher = LLMatcher(self._ready_tokenizer(), LLMatcher.grammar_from_lark(text), log_level=0, limits=_limits())
        if matcher.is_error():
            raise GrammarError(_words(matcher))
        grammar = Grammar(self, matcher)
        grammar.begin().mask()
        with self._lock:
            self._compiled[text] = grammar
            while len(self._compiled) > MAX_KEPT:
                self._compiled.popitem(last=False)
        return grammar

    def _ready_tokenizer(self) -> LLTokenizer:
        if self._tokenizer is None:
            if not self._end_token_ids:
                raise GrammarError("the model has no end token, so its answer could not end")
            try:
                self._tokenizer = LLTokenizer(self._tokenizer_json(), n_vocab=self._vocab_size, eos_token=self._end_token_ids)
            except ValueError as error:
                raise GrammarError(f"the model's tokenizer is of a kind that cannot be constrained: {error}") from error
        return self._tokenizer


def byte_grammars() -> Grammars:
    """Grammars over bytes: tells whether a grammar is right without any model. It knows no model's control tokens."""
    return Grammars(lambda: "byte", vocab_size=_BYTE_VOCAB_SIZE, end_token_ids=[_BYTE_VOCAB_SIZE - 1])


def _limits() -> LLParserLimits:
    return LLParserLimits(
        initial_lexer_fuel=_INITIAL_LEXER_FUEL,
        step_lexer_fuel=_STEP_LEXER_FUEL,
        step_max_items=_STEP_MAX_ITEMS,
        max_items_in_row=_MAX_ROW_ITEMS,
        max_lexer_states=_MAX_LEXER_STATES,
        max_grammar_size=_MAX_GRAMMAR_SIZE,
        verbose_errors=False,
    )


def _words(matcher: LLMatcher) -> str:
    """Without the state of the parser, which holds what the model has said."""
    return matcher.get_error().replace("<non-verbose/>", "").strip()
