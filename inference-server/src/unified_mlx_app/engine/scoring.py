"""What a request reads of its own prompt as it is prefilled: log-probabilities of its tokens, or one vector for all of it.

Engine thread only. KV state holds neither, so such a request computes its prompt anew and leaves the prompt cache as it is.
Whatever the prompt's length, the logits or states of one chunk exist at a time.
"""

import numpy as np

from unified_mlx_app.engine.messages import Embedded, Event, Finished, PromptLogprobs
from unified_mlx_app.engine.sequence import Request
from unified_mlx_app.errors import UnsupportedFieldError

_MAX_LOGITS = 2**24
"""Of a chunk: 64 MiB as float32."""
_MIN_CHUNK_TOKENS = 16
_LOGITS_COPIES = 3
"""As computed, as float32, and the indices that the search for the likeliest ones makes."""


def reading_chunk_tokens(request: Request, vocab_size: int, chunk_tokens: int) -> int:
    """How many prompt tokens may run together: fewer where the logits of all of them are needed."""
    if request.command.prompt_logprobs is None:
        return chunk_tokens
    return max(_MIN_CHUNK_TOKENS, min(chunk_tokens, _MAX_LOGITS // vocab_size))


def reading_bytes(request: Request, vocab_size: int, chunk_tokens: int) -> int:
    """Memory that reading the prompt takes beyond the KV state."""
    if request.command.prompt_logprobs is None:
        return 0
    num_tokens = min(len(request.tokens), reading_chunk_tokens(request, vocab_size, chunk_tokens))
    return _LOGITS_COPIES * 4 * num_tokens * vocab_size


def read_to(request: Request, cut: int) -> list[Event]:
    """Run the prompt from where it is up to `cut`. Returns what was read on the way. Raises UnsupportedFieldError."""
    assert request.runner is not None
    assert request.loaded is not None
    command, runner, adapter = request.command, request.runner, request.loaded.adapter
    tokens = request.tokens[request.position : cut]
    if command.pooling is not None:
        try:
            states = runner.states(request.caches, tokens, adapter)
        except ValueError as error:
            raise UnsupportedFieldError(f"this model gives no embeddings: {error}", param="model") from error
        request.pooled = states[-1] if command.pooling == "last" else request.pooled + states.sum(axis=0, dtype=np.float64)
        return []
    if command.prompt_logprobs is None:
        runner.prefill(request.caches, tokens, adapter)
        return []
    following = request.tokens[request.position + 1 : cut + 1]
    logprobs = runner.score(request.caches, tokens, following, command.prompt_logprobs, adapter)
    return [PromptLogprobs(request_id=request.request_id, logprobs=logprobs)]


def embedding_events(request: Request) -> list[Event]:
    """The vector of a prompt that was read to its end, scaled to length 1."""
    # The mean differs from the sum by a factor that scaling takes away.
    length = float(np.linalg.norm(request.pooled))
    vector = np.asarray(request.pooled / (length or 1.0), "<f4").tobytes()
    return [
        Embedded(request_id=request.request_id, vector=vector),
        Finished(request_id=request.request_id, choice=0, reason="stop", completion_tokens=0),
    ]
