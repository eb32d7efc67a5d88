"""What changed between a prompt and one that is stored: short spans after which both go on alike.

A date or an id near the start of a prompt costs all that follows it; this finds the span and counts the cost.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.prefix_index import common_prefix_length
from unified_mlx_app.types import ChangedPrompt, ChangedSpan

Tokens = NDArray[np.int32]

MAX_SPAN_TOKENS = 256
"""Longer differences are other texts, not one text with a span that changes."""
MAX_SPANS = 8
REJOIN_TOKENS = 8
"""So many equal tokens in a row after a difference are no chance."""
MIN_SHARED_AFTER = 16
"""Fewer tokens computed again are not worth a word."""
_WINDOW = MAX_SPAN_TOKENS + REJOIN_TOKENS
_FACTORS = np.array([31**power for power in range(REJOIN_TOKENS)], np.uint64)


def find_changes(stored: Tokens, tokens: Tokens) -> ChangedPrompt | None:
    """Where `tokens` differ from `stored` in at most MAX_SPANS short spans; None when what follows them is not alike."""
    spans: list[ChangedSpan] = []
    for old_start, new_start, old_end, new_end, num_shared in _differences(stored, tokens):
        # With what is alike on both sides no character of the span is cut.
        num_before = min(REJOIN_TOKENS, new_start)
        old = stored[old_start - num_before : old_end + REJOIN_TOKENS]
        spans.append(
            ChangedSpan(
                start_token=new_start,
                end_token=new_end,
                num_before=num_before,
                num_after=REJOIN_TOKENS,
                num_shared_after=num_shared,
                stored_tokens=tuple(int(token) for token in old),
            )
        )
    changed = ChangedPrompt(spans=tuple(spans))
    return changed if changed.lost_tokens >= MIN_SHARED_AFTER else None


def _differences(stored: Tokens, tokens: Tokens) -> Iterator[tuple[int, int, int, int, int]]:
    """Starts and ends of each differing span, in `stored` and in `tokens`, and how many tokens are alike after it."""
    old = new = common_prefix_length(stored, tokens)
    for _ in range(MAX_SPANS):
        rejoined = _rejoin(stored[old : old + _WINDOW], tokens[new : new + _WINDOW])
        if rejoined is None:
            return
        old_end, new_end = old + rejoined[0], new + rejoined[1]
        num_shared = common_prefix_length(stored[old_end:], tokens[new_end:])
        yield old, new, old_end, new_end, num_shared
        old, new = old_end + num_shared, new_end + num_shared


def _rejoin(stored: Tokens, tokens: Tokens) -> tuple[int, int] | None:
    """The nearest places from which both go on alike for REJOIN_TOKENS."""
    if min(len(stored), len(tokens)) < REJOIN_TOKENS:
        return None
    places: dict[int, int] = {}
    for place, key in enumerate(_keys(stored)):
        places.setdefault(key, place)
    best: tuple[int, int] | None = None
    for place, key in enumerate(_keys(tokens)):
        if best is not None and place >= sum(best):
            break
        other = places.get(key)
        if other is not None and (best is None or other + place < sum(best)):
            best = (other, place)
    if best is None:
        return None
    old, new = best
    is_alike = np.array_equal(stored[old : old + REJOIN_TOKENS], tokens[new : new + REJOIN_TOKENS])
    return best if is_alike else None


def _keys(tokens: Tokens) -> list[int]:
    """A number for each REJOIN_TOKENS tokens in a row: equal for equal ones, rarely for others."""
    windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.uint64), REJOIN_TOKENS)
    return (windows * _FACTORS).sum(axis=1, dtype=np.uint64).tolist()
