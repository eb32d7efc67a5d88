"""Initial weights with which a two-layer transformer can look things up from its first training step.

To answer "The codeword is" with the word that followed "codeword is" earlier, a model needs a head
that tells each position its previous token and a later head that finds the position whose previous
token is the present one and copies what stands there (Olsson et al. 2022, "In-context learning and
induction heads"). A small model trained from random weights finds this pair only after a long
plateau; planted as a start, training merely has to refine it.
"""

from typing import Any

import mlx.core as mx
import numpy as np

# Found by measuring how fast copying of random tokens is learned. A larger `_PREVIOUS` makes the
# previous-token head sharper, `_MATCH` the look-up; the others set how loud each head speaks.
_PREVIOUS = 7.0
_MATCH = 2.0
_TELL = 0.3
_COPY = 3.0


def plant_induction_head(model: Any, *, rope_theta: float, seed: int) -> None:
    """Overwrite the first two heads of the first layer of `model` and the first head of the second.

    The first layer must have rotary positions and attention biases, the second no positions; each
    head its own keys. The second layer's head finds the position before which the same *two* tokens
    stand: in notes where "is" precedes every value, one token would not tell them apart.
    """
    draw = np.random.default_rng(seed)
    first, second = (layer.self_attn for layer in model.model.layers)
    dim, width = first.q_proj.weight.shape[1], first.q_proj.weight.shape[0] // first.n_heads
    half = width // 2
    read = _directions(draw, half, dim)
    tell_previous, tell_second, copy = _directions(draw, half, dim), _directions(draw, half, dim), _directions(draw, width, dim)
    for head, (distance, tell) in enumerate([(1, tell_previous), (2, tell_second)]):
        _attend_by_distance(first, head, distance, rope_theta)
        _set(first.v_proj, slice(head * width, head * width + half), read)
        _set(first.o_proj, (slice(None), slice(head * width, head * width + half)), _TELL * tell.T)
    _set(second.q_proj, slice(width), _MATCH * np.concatenate([read, tell_previous]))
    _set(second.k_proj, slice(width), _MATCH * np.concatenate([tell_previous, tell_second]))
    _set(second.v_proj, slice(width), copy)
    _set(second.o_proj, (slice(None), slice(width)), _COPY * copy.T)


def _directions(draw: np.random.Generator, num: int, dim: int) -> np.ndarray:
    """`num` orthonormal rows of length `dim`."""
    return np.linalg.qr(draw.normal(size=(dim, num)))[0].T


def _attend_by_distance(attention: Any, head: int, distance: int, rope_theta: float) -> None:
    """Make a head look `distance` tokens back: its queries and keys ignore the content, and their biases
    are turned against each other by as much as the rotary embedding turns in so many positions."""
    width = attention.q_proj.weight.shape[0] // attention.n_heads
    angles = distance * rope_theta ** (-np.arange(width // 2) / (width // 2))
    rows = slice(head * width, (head + 1) * width)
    query = np.concatenate([np.cos(-angles), np.sin(-angles)])
    key = np.concatenate([np.ones(width // 2), np.zeros(width // 2)])
    for linear, bias in ((attention.q_proj, query), (attention.k_proj, key)):
        _set(linear, rows, np.zeros((width, linear.weight.shape[1])))
        _set(linear, rows, _PREVIOUS * bias, name="bias")


def _set(linear: Any, place: Any, values: np.ndarray, *, name: str = "weight") -> None:
    array = np.array(linear[name])
    array[place] = values
    linear[name] = mx.array(array)
