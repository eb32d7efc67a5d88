"""What mlx-lm itself says of a text, without any server."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm


@lru_cache(1)
def _loaded(model: Path) -> tuple[Any, Any]:
    loaded = mlx_lm.load(str(model))
    loaded[0].eval()
    return loaded[0], loaded[1]


def log_likelihood(model: Path, context: str, continuation: str) -> float:
    """Of `continuation` after `context`, cut into tokens together, as lm-eval does."""
    network, tokenizer = _loaded(model)
    tokens = tokenizer.encode(context + continuation, add_special_tokens=False)
    start = len(tokenizer.encode(context, add_special_tokens=False))
    logits = network(mx.array(tokens)[None])[0, :-1].astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    told = mx.take_along_axis(logprobs, mx.array(tokens[1:])[:, None], axis=-1)[:, 0]
    return float(told[start - 1 :].sum())


def greedy_text(model: Path, prompt: str, num_tokens: int) -> str:
    """The likeliest continuation."""
    network, tokenizer = _loaded(model)
    tokens = tokenizer.encode(prompt, add_special_tokens=False)
    return mlx_lm.generate(network, tokenizer, prompt=tokens, max_tokens=num_tokens)
