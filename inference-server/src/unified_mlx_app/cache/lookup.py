"""Which stored state serves a prompt best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.keys import Namespace
from unified_mlx_app.cache.prefix_index import PrefixIndex
from unified_mlx_app.types import CacheTier

MIN_PROMPT_TOKENS = 5
"""Shorter prompts are not looked up: their prefill costs no more than the look-up."""

SNAP_TOKENS = 32
"""A stored state is cut back to a boundary of the prompt's own prefill if that loses no more than this: the rest is prefilled
in one chunk either way, and a state cut where the cold run cuts gives bit-identical results."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the cache sees it. `cuts` are the ascending positions at which a cold run would cut its prefill;
    `shared_tokens` is the length of the part other requests are likely to repeat: reusing it makes a hit."""

    namespace: Namespace
    tokens: NDArray[np.int32]
    cuts: Sequence[int]
    shared_tokens: int


@dataclass(frozen=True, slots=True)
class Match:
    """Reuse the first `num_tokens` tokens of `entry`; with `tier` "disk" its state has to be read first."""

    entry: Entry
    num_tokens: int
    tier: CacheTier


def best_match(index: PrefixIndex[Entry], prompt: Prompt) -> Match | None:
    """The state that saves the most of `prompt`, at most all but its last token, in O(len(prompt.tokens)).

    A whole entry is used to its last token; a trimmed one ends at a cut if one is near. Memory wins a tie, then the smaller one.
    """
    found = index.match(prompt.tokens)
    usable = len(prompt.tokens) - 1
    matches = [_match(entry, entry.num_tokens) for entry in found.prefixes if entry.num_tokens <= usable]
    shared = _snap(min(found.num_tokens, usable), prompt.cuts)
    if shared >= MIN_PROMPT_TOKENS - 1:
        longer = (entry for entry in (*found.prefixes, *found.continuations) if entry.num_tokens > shared)
        matches += [_match(entry, shared) for entry in longer if entry.is_trimmable]
    return max(matches, key=lambda match: (match.num_tokens, match.tier == "memory", -match.entry.num_tokens), default=None)


def _match(entry: Entry, num_tokens: int) -> Match:
    return Match(entry, num_tokens, "memory" if entry.state is not None else "disk")


def _snap(num_tokens: int, cuts: Sequence[int]) -> int:
    cut = max((cut for cut in cuts if cut <= num_tokens), default=0)
    return cut if cut and num_tokens - cut <= SNAP_TOKENS else num_tokens
