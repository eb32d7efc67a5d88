"""A row that is alone: instead of one token a step it checks guesses at the next ones in one pass. Engine thread only.

What it gives is what plain decoding gives: a guess decides only how many tokens a pass yields, never which. So it takes a
model whose state is plain KV rows, of which the wrong ones can be taken off again.
"""

from dataclasses import dataclass, field
from typing import Any

from unified_mlx_app.engine.guessing import DraftModel, Guesser, PromptLookup
from unified_mlx_app.engine.sampling import Draw
from unified_mlx_app.engine.sequence import Request, Sequence

SETTLE_STEPS = 8
"""A row leaves the batch when it was the only one for so many steps: moving in and out of it copies the row's state."""
_MAX_GUESSES = 16
"""More guesses than this in one pass cost about as much as a second pass would."""
_MAX_PASSES_OFF = 32


@dataclass(slots=True, eq=False)
class Solo:
    """One row with its guessers. While it is in a batch, the batch has the caches."""

    sequence: Sequence
    draw: Draw
    guessers: list[Guesser]
    num_wanted: int
    """Guesses to check in the next pass: twice as many after all were right, as many as were right and one after a mistake."""
    caches: list[Any] = field(default_factory=list)
    num_steps_alone: int = 0
    num_passes_off: int = 0
    """Passes without guesses that are left; twice as many after each failure that follows another."""
    num_failures: int = 0
    num_told: int = 0
    """Tokens of the answer that the guessers know."""

    @property
    def can_return(self) -> bool:
        """Whether it can leave a batch. The batch is one step ahead, as the state of its samplers and processors is then."""
        return self.draw.is_greedy

    @property
    def is_settled(self) -> bool:
        """Whether it is worth to leave the batch."""
        return self.num_steps_alone >= SETTLE_STEPS

    def begin(self, caches: list[Any]) -> None:
        """Decode alone from here; `caches` hold the prompt and all of the answer but its last token."""
        self.caches = caches

    def rest(self) -> list[Any]:
        """Go into the batch with what is returned, which holds all but the last token."""
        caches, self.caches, self.num_steps_alone = self.caches, [], 0
        return caches

    def note_company(self, has_company: bool) -> None:
        """While in a batch: whether there are other rows before its next step."""
        self.num_steps_alone = 0 if has_company else self.num_steps_alone + 1

    def caches_after(self, num_unwanted: int) -> list[Any]:
        """The caches without their last `num_unwanted` tokens."""
        for cache in self.caches:
            cache.trim(num_unwanted)
        return self.caches

    def step(self) -> list[tuple[int, Any]]:
        """One pass. Returns the next tokens with their logprobs (vocab,), at least one."""
        request, sequence = self.sequence.request, self.sequence
        assert request.runner is not None
        assert request.loaded is not None
        guesses = self._guesses()
        tokens = [sequence.token_ids[-1], *guesses]
        drawn = request.runner.check(self.caches, tokens, self.draw, request.loaded.adapter)
        if guesses:
            sequence.num_guessed += len(guesses)
            self._learn(len(guesses), len(drawn) - 1)
        return drawn

    def _learn(self, num_guesses: int, num_right: int) -> None:
        self.num_wanted = min(_MAX_GUESSES, 2 * self.num_wanted if num_right == num_guesses else num_right + 1)
        self.num_failures = 0 if num_right else self.num_failures + 1
        # One failure says little; wrong guesses in a row make each pass dearer for nothing.
        self.num_passes_off = min(_MAX_PASSES_OFF, 2 ** (self.num_failures - 1)) if self.num_failures > 1 else 0

    def _guesses(self) -> list[int]:
        sequence, request = self.sequence, self.sequence.request
        assert request.loaded is not None
        news = sequence.token_ids[self.num_told :]
        self.num_told = len(sequence.token_ids)
        for guesser in self.guessers:
            guesser.add(news)
        if self.num_passes_off:
            self.num_passes_off -= 1
            return []
        num_tokens = min(self.num_wanted, request.command.sampling.max_tokens - len(sequence.token_ids) - 1)
        if num_tokens <= 0:
            return []
        guesses = next((guesses for guesser in self.guessers if (guesses := guesser.guess(num_tokens))), [])
        unknown = next((i for i, token in enumerate(guesses) if not 0 <= token < request.loaded.vocab_size), len(guesses))
        return guesses[:unknown]


def solo_for(sequence: Sequence, draw: Draw, *, chunk_tokens: int) -> Solo | None:
    """A row that may decode alone, resting; None where its request asks for no guesses, or has several rows."""
    request = sequence.request
    speculation = request.command.speculation
    assert request.loaded is not None
    if speculation is None or request.loaded.why_no_guesses is not None or request.command.num_choices > 1:
        return None
    guessers = _guessers(request, chunk_tokens)
    return Solo(sequence, draw, guessers, speculation.num_draft_tokens) if guessers else None


def _guessers(request: Request, chunk_tokens: int) -> list[Guesser]:
    """A look-up goes first: where the text occurred before it is the better guess, and it costs nothing."""
    command, max_tokens = request.command, request.command.sampling.max_tokens
    assert command.speculation is not None
    guessers: list[Guesser] = []
    if command.speculation.prompt_lookup or command.prediction:
        guessers.append(PromptLookup(request.tokens, command.prediction, max_tokens))
    if request.draft is not None and request.draft_runner is not None:
        draft = DraftModel(
            request.draft_runner,
            request.tokens,
            max_tokens=max_tokens,
            vocab_size=request.draft.vocab_size,
            chunk_tokens=chunk_tokens,
        )
        guessers.append(draft)
    return guessers
