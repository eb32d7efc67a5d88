"""Which stored state serves a prompt best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.prefix_index import PrefixIndex
from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import CacheTier

MIN_PROMPT_TOKENS = 5
"""Shorter prompts are not looked up: their prefill costs no more than the look-up."""

MIN_TRIMMED_TOKENS = 16
"""A shorter start that prompts share is the template's; reusing it saves nothing and would make the state inexact."""

TAIL_TOKENS = 32
"""So many tokens at the end of a prompt run in one pass, the one that gives the answer's first token. A stored state is cut back
to a boundary of the prompt's own prefill if that loses no more than this: the rest is one pass either way, and a state cut
where the cold run cuts gives bit-identical results."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the cache sees it. `cuts` are the ascending positions at which a cold run would cut its prefill;
    `shared_tokens` is the length of the part other requests are likely to repeat: reusing it makes a hit. At most
    `usable_tokens` are reused: all but the last, which has to run to give the first token of the answer."""

    namespace: Namespace
    tokens: NDArray[np.int32]
    cuts: Sequence[int]
    shared_tokens: int
    usable_tokens: int

    @property
    def is_long_enough(self) -> bool:
        """Whether it is worth a look-up."""
        return len(self.tokens) >= MIN_PROMPT_TOKENS


@dataclass(frozen=True, slots=True)
class Match:
    """Reuse the first `num_tokens` tokens of `entry`; with `tier` "disk" its state has to be read first."""

    entry: Entry
    num_tokens: int
    tier: CacheTier

    def is_exact_for(self, prompt: Prompt) -> bool:
        """Whether the state's prefill was cut where a cold run of `prompt` would cut, so that it is the same to the last bit."""
        made = [cut for cut in self.entry.cuts if cut <= self.num_tokens]
        cold = [cut for cut in prompt.cuts if cut <= self.num_tokens]
        return made == cold and bool(made) and made[-1] == self.num_tokens


def best_match(index: PrefixIndex[Entry], prompt: Prompt) -> Match | None:
    """The state that saves the most of `prompt`, in O(len(prompt.tokens)).

    A whole entry is used to its last token; a trimmed one ends at a cut if one is near. Memory wins a tie, then exactness.
    """
    found = index.match(prompt.tokens)
    usable = prompt.usable_tokens
    matches = [_match(entry, entry.num_tokens) for entry in found.prefixes if entry.num_tokens <= usable]
    shared = _snap(min(found.num_tokens, usable), prompt.cuts)
    if shared >= min(MIN_TRIMMED_TOKENS, prompt.shared_tokens):
        longer = (entry for entry in (*found.prefixes, *found.continuations) if entry.num_tokens > shared)
        matches += [_match(entry, shared) for entry in longer if entry.is_trimmable]

    def rank(match: Match) -> tuple[int, bool, bool, int]:
        return match.num_tokens, match.tier == "memory", match.is_exact_for(prompt), -match.entry.num_tokens

    return max(matches, key=rank, default=None)


def _match(entry: Entry, num_tokens: int) -> Match:
    return Match(entry, num_tokens, "memory" if entry.state is not None else "disk")


def _snap(num_tokens: int, cuts: Sequence[int]) -> int:
    cut = max((cut for cut in cuts if cut <= num_tokens), default=0)
    return cut if cut and num_tokens - cut <= TAIL_TOKENS else num_tokens
