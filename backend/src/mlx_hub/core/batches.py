"""Batches as arrays: padded tokens, and the positions whose next token is learned. Needs no MLX."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlx_hub.core.data_prep import padded_width
from mlx_hub.core.tokens import EncodedRow

PAD_TOKENS = 32
MAX_LOGITS_BYTES = 128 * 2**20
"""More logits than this are computed in parts: a vocabulary of 150k costs 0.6 MB a token."""
_SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Of a batch's positions, learned ones padded to: a new shape costs a compilation, which takes as long as a small step."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`inputs` (rows, width) int32; `positions` index its flattened form, with the `targets` that follow them.

    Positions are padded to few different counts for a width, so that compiled steps are used again; padding has weight 0.
    """

    inputs: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    num_tokens: int
    num_learned: int


def make_batch(rows: Sequence[EncodedRow]) -> Batch:
    """Right-padded to a multiple of `PAD_TOKENS`; weights are 1 for learned positions."""
    width = padded_width(max(len(row.tokens) - 1 for row in rows), PAD_TOKENS)
    tokens = np.zeros((len(rows), width + 1), np.int32)
    learned = np.zeros((len(rows), width), bool)
    for index, row in enumerate(rows):
        tokens[index, : len(row.tokens)] = row.tokens
        learned[index, : len(row.tokens) - 1] = row.is_learned[1:]
    places = np.flatnonzero(learned)
    count = _padded_count(len(places), learned.size)
    positions = np.zeros(count, np.int32)
    positions[: len(places)] = places
    weights = np.zeros(count, np.float32)
    weights[: len(places)] = 1
    targets = tokens[:, 1:].reshape(-1)[positions]
    num_tokens = sum(len(row.tokens) for row in rows)
    return Batch(np.ascontiguousarray(tokens[:, :-1]), positions, targets, weights, num_tokens, len(places))


def batches_by_length(rows: Sequence[EncodedRow], batch_size: int) -> list[Batch]:
    """All rows once, longest first, for measuring a loss."""
    ordered = sorted(rows, key=lambda row: -len(row.tokens))
    return [make_batch(ordered[first : first + batch_size]) for first in range(0, len(ordered), batch_size)]


def _padded_count(count: int, num_positions: int) -> int:
    """The least of `_SHARES` of `num_positions`, a multiple of `PAD_TOKENS`, that holds `count`."""
    return next(size for share in _SHARES if (size := int(share * num_positions)) >= count)
