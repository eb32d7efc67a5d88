"""Whole models into memory. Uses MLX, so only processes of their own import it."""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.utils import load_model, maybe_set_recommended_wired_limit

from mlx_hub.core.run_config import TrainingError

_CACHE_BYTES = 2 * 2**30
"""Of freed buffers that MLX keeps: batches differ in shape, so without a bound it would keep many that never fit again."""


def load_model_folder(path: Path) -> nn.Module:
    """The model of a folder, ready to answer. Raises TrainingError `bad_model`."""
    maybe_set_recommended_wired_limit()
    # Where MLX keeps less by itself, as on a CPU, more would only make the process larger.
    mx.set_cache_limit(min(_CACHE_BYTES, mx.set_cache_limit(_CACHE_BYTES)))
    try:
        model, _ = load_model(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise TrainingError("bad_model", f"The model in {path} does not load: {error}") from error
    model.eval()
    return model
