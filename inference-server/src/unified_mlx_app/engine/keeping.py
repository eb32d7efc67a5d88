"""Which states of a request go into the prompt cache, and when. Engine thread only.

Requests that read their prompt keep nothing: an evaluation of thousands of prompts would push out what users share.
"""

from collections.abc import Callable

import numpy as np
import structlog

from unified_mlx_app.cache.kv import UnsupportedCacheError
from unified_mlx_app.cache.lookup import MIN_PROMPT_TOKENS
from unified_mlx_app.cache.prompt_cache import PromptCacheService
from unified_mlx_app.engine.sequence import Request, Sequence
from unified_mlx_app.types import EntryKind

log = structlog.get_logger()

COALESCE_TOKENS = 64
"""Waiting for another's prefill, and keeping a prompt for those that wait, pays from so many tokens on."""


class StateKeeper:
    """`spare_bytes` tells what weights and running requests leave for kept states."""

    def __init__(self, cache: PromptCacheService, spare_bytes: Callable[[], int]) -> None:
        self._cache = cache
        self._spare_bytes = spare_bytes

    def keep_boundary(self, request: Request) -> None:
        """Keep the state at a boundary: always after the system part; after the last turn only where states cannot be trimmed."""
        assert request.loaded is not None
        kinds: set[EntryKind] = {each.kind for each in request.command.boundaries if each.end_tokens == request.position}
        if "system" in kinds:
            self._keep_prefix(request, "system")
        elif "turn" in kinds and not request.loaded.is_trimmable:
            self._keep_prefix(request, "turn")

    def keep_prefilled(self, request: Request) -> None:
        """Keep the prefilled prompt: usable at once by requests that wait for it, and after this one was cancelled."""
        assert request.loaded is not None
        cached_tokens = request.match.num_tokens if request.match else 0
        if request.command.is_warmup:
            self._keep_prefix(request, "system")
        elif request.loaded.is_trimmable and request.position - cached_tokens >= COALESCE_TOKENS:
            self._keep_prefix(request, "prompt")

    def keep_conversation(self, sequence: Sequence, caches: list[object], num_generated: int) -> None:
        """Keep the first choice's conversation for the next turn: `caches` hold `num_generated` of its tokens."""
        request = sequence.request
        if sequence.choice == 0 and self._cache.enabled and not request.reads_prompt:
            tokens = np.concatenate([request.tokens, np.asarray(sequence.token_ids[:num_generated], np.int32)])
            self._keep(request, caches, tokens, "conversation")

    def _keep_prefix(self, request: Request, kind: EntryKind) -> None:
        assert request.prompt is not None
        tokens = request.tokens[: request.position]
        is_worth_it = self._cache.enabled and not request.reads_prompt and len(tokens) >= MIN_PROMPT_TOKENS - 1
        if is_worth_it and not self._cache.has(request.prompt.namespace, tokens, kind):
            self._keep(request, request.caches, tokens, kind)

    def _keep(self, request: Request, caches: list[object], tokens: np.ndarray, kind: EntryKind) -> None:
        assert request.runner is not None
        assert request.prompt is not None
        try:
            state = request.runner.capture(caches, len(tokens), request.cuts)
        except UnsupportedCacheError as error:
            log.warning("state_not_cached", error=str(error))
            return
        self._cache.insert(request.prompt.namespace, tokens, state, kind=kind, preview=request.command.preview)
        self._cache.shrink_memory(max(0, self._spare_bytes()))
