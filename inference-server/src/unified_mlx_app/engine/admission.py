"""Which waiting request may start beside those being prefilled, and what the prompt cache is asked for it. Engine thread only."""

from dataclasses import replace

from unified_mlx_app.cache.lookup import Prompt
from unified_mlx_app.cache.prefix_index import common_prefix_length
from unified_mlx_app.cache.prompt_cache import PromptCacheService
from unified_mlx_app.engine.keeping import COALESCE_TOKENS
from unified_mlx_app.engine.scoring import reading_chunk_tokens
from unified_mlx_app.engine.sequence import Request, prefill_cuts
from unified_mlx_app.models.loader import LoadedModel

_MAX_PREFILLING = 2
"""One long prompt and a short one that overtakes it; more would only share the same compute."""


def may_prefill(request: Request, prefilling: list[Request], chunk_tokens: int) -> bool:
    """Whether `request` may be prefilled beside `prefilling`: a short prompt overtakes a long one."""
    if not prefilling:
        return True
    is_short = len(request.tokens) <= chunk_tokens
    return len(prefilling) < _MAX_PREFILLING and is_short and prefilling[0].remaining_tokens > chunk_tokens


def prompt_of(request: Request, loaded: LoadedModel, chunk_tokens: int) -> Prompt:
    """The prompt as the cache sees it."""
    reading_tokens = reading_chunk_tokens(request, loaded.vocab_size, chunk_tokens)
    cuts = prefill_cuts(request, reading_tokens, is_trimmable=loaded.is_trimmable)
    # Without a system part, reusing half of the prompt or a whole chunk is what people would call a hit.
    shared_tokens = request.boundary_end("system") or min(chunk_tokens, len(request.tokens) // 2)
    usable_tokens = cuts[-1] if request.command.is_warmup else len(request.tokens) - 1
    owner = request.command.cache_owner
    namespace = replace(loaded.namespace, owner=owner) if owner else loaded.namespace
    return Prompt(namespace, request.tokens, cuts, shared_tokens, usable_tokens)


def is_being_computed(request: Request, prefilling: list[Request], cache: PromptCacheService) -> bool:
    """Whether a prompt being prefilled right now will soon hold more of this one's start than the cache does."""
    assert request.prompt is not None
    if not cache.enabled or not prefilling or request.reads_prompt:
        return False
    match = cache.lookup(request.prompt)
    known_tokens = match.num_tokens if match else 0
    for other in prefilling:
        if other.reads_prompt or other.prompt is None:
            continue  # Nothing of it will be in the cache.
        if other.prompt.namespace == request.prompt.namespace:
            coming_tokens = min(common_prefix_length(other.tokens, request.tokens), len(request.tokens) - 1)
            if coming_tokens >= known_tokens + COALESCE_TOKENS and other.position < coming_tokens:
                return True
    return False
