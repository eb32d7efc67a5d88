"""Whether two forms of one model answer alike: their logits on the same text. Uses MLX."""

import mlx.core as mx
import mlx.nn as nn
import msgspec
import numpy as np

from mlx_hub.core.run_config import TrainingError

NUM_TOKENS = 128
_NOISE = {mx.float32: 1e-3, mx.float16: 1e-2}
_COARSE_NOISE = 4e-2
"""Relative to the largest logits: what rounding may do to a sum that is taken in another order. bfloat16 has 8 bits."""
_EFFECT_SHARE = 0.2
"""A 4-bit model that loses its adapter differs by 0.27 to 1.4 of the adapter's effect; one that keeps it by next to nothing."""


class LogitCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`mean_difference` is of the largest differences at each position, as are `adapter_effect` and `tolerance`."""

    num_tokens: int
    max_difference: float
    mean_difference: float
    adapter_effect: float
    tolerance: float
    top1_agreement: float


def logits(model: nn.Module, tokens: np.ndarray) -> mx.array:
    """Of shape (tokens, vocabulary), in the type that the model computes in."""
    result = model(mx.array(tokens)[None])[0]
    mx.eval(result)
    return result


def compare_logits(found: mx.array, expected: mx.array, *, base: mx.array) -> LogitCheck:
    """Compare a fused model with its base and adapter, measured against what the adapter does to `base`.

    Raises TrainingError `export_mismatch` when they answer differently.
    """
    noise = max(_NOISE.get(array.dtype, _COARSE_NOISE) for array in (found, expected))
    largest = _largest(expected)
    difference, effect = _largest(_minus(found, expected)), _largest(_minus(expected, base))
    tolerance = max(noise * float(largest.mean()), _EFFECT_SHARE * float(effect.mean()))
    check = LogitCheck(
        num_tokens=found.shape[0],
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        adapter_effect=float(effect.mean()),
        tolerance=tolerance,
        top1_agreement=float((mx.argmax(found, axis=-1) == mx.argmax(expected, axis=-1)).astype(mx.float32).mean()),
    )
    if not check.mean_difference <= tolerance:
        message = (
            f"The fused model answers otherwise than base and adapter: its logits differ by {check.mean_difference:.3g} on "
            f"average, {tolerance:.3g} would be rounding, and the whole effect of the adapter is {check.adapter_effect:.3g}."
        )
        raise TrainingError("export_mismatch", message)
    return check


def _minus(first: mx.array, second: mx.array) -> mx.array:
    return first.astype(mx.float32) - second.astype(mx.float32)


def _largest(values: mx.array) -> np.ndarray:
    """The largest magnitude at each position."""
    return np.array(mx.abs(values.astype(mx.float32)).max(axis=-1))
