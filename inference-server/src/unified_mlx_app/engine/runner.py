"""Runs one loaded model: prefill of single prompts in chunks, decoding of many rows together. Engine thread only.

Prefill is always done for one prompt alone and cut at positions that its tokens determine, so the KV state of a prefix is
bit for bit the same whatever else runs (measured on CPU; batching a prefill would change the last bits).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx_lm.generate import BatchGenerator, StopSequences
from mlx_lm.models.cache import make_prompt_cache
from numpy.typing import NDArray

from unified_mlx_app.cache.kv import KVState, capture, restore
from unified_mlx_app.engine.sampling import LogitsProcessor, Sampler, greedy
from unified_mlx_app.models.loader import LoadedModel
from unified_mlx_app.types import FinishReason


@dataclass(frozen=True, slots=True)
class Sampled:
    """One row's new token, which its KV state holds already. `caches` is set when the row ended by itself."""

    row_id: int
    token_id: int
    logprobs: mx.array
    finish_reason: FinishReason | None
    caches: list[Any] | None


class Runner:
    """Rows are known by the id that `join` gives; ids are never used again."""

    def __init__(self, loaded: LoadedModel, *, max_rows: int) -> None:
        self.loaded = loaded
        self._max_rows = max_rows
        self._stop = StopSequences([[token_id] for token_id in loaded.eos_token_ids])
        self._never_stop = StopSequences()
        self._batch = self._new_batch()
        self._rows: set[int] = set()

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    def start(self, state: KVState | None = None, num_tokens: int = 0) -> list[Any]:
        """Caches for a new row: empty, or holding the first `num_tokens` tokens of `state`."""
        return restore(state, num_tokens) if state is not None else make_prompt_cache(self.loaded.model)

    def prefill(self, caches: list[Any], tokens: NDArray[np.int32]) -> None:
        """Run `tokens` of one prompt through the model; returns when their KV state is computed."""
        with mx.stream(self._batch.stream):
            self.loaded.model(mx.array(tokens)[None], cache=caches)
            mx.eval([cache.state for cache in caches])

    def draw_first(
        self, caches: list[Any], last_token: int, choices: Sequence[tuple[Sampler, Sequence[LogitsProcessor]]]
    ) -> list[tuple[int, mx.array]]:
        """Run the last token of a prompt and draw the first token of each choice from it: (token id, logprobs (vocab,)).

        At batch 1, so that the first token does not wait for the batch and does not depend on who else is in it.
        """
        with mx.stream(self._batch.stream):
            context = mx.array([last_token])
            last_logits = self.loaded.model(context[None], cache=caches)[:, -1, :]
            drawn: list[tuple[mx.array, mx.array]] = []
            for sampler, processors in choices:
                logits = last_logits
                for processor in processors:
                    logits = processor(context, logits)
                logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
                drawn.append((sampler(logprobs), logprobs[0]))
            mx.eval(drawn, [cache.state for cache in caches])
        return [(cast(int, token.item()), logprobs) for token, logprobs in drawn]

    def capture(self, caches: list[Any], num_tokens: int, cuts: Sequence[int] = ()) -> KVState:
        """An immutable copy of the state of one row. Raises UnsupportedCacheError."""
        with mx.stream(self._batch.stream):
            return capture(caches, num_tokens, cuts)

    def join(
        self,
        caches: list[Any],
        token: int,
        *,
        max_tokens: int,
        sampler: Sampler,
        processors: list[LogitsProcessor],
        ignore_eos: bool,
    ) -> int:
        """Let a row decode with the others: `caches` hold all before `token`; the batch copies them. Returns the row's id."""
        (row_id,) = self._batch.insert(
            [[token]],
            [max_tokens],
            caches=[caches],
            all_tokens=[[]],
            samplers=[sampler],
            logits_processors=[processors],
            stop_sequences=[self._never_stop if ignore_eos else self._stop],
        )
        self._rows.add(row_id)
        return row_id

    def step(self) -> list[Sampled]:
        """One decode step of all rows. Whatever the model raises comes out; the rows are lost then: call `reset`."""
        _, responses = self._batch.next()
        self._rows.difference_update(response.uid for response in responses if response.finish_reason is not None)
        return [
            Sampled(
                response.uid,
                response.token,
                response.logprobs,
                cast(FinishReason | None, response.finish_reason),
                response.prompt_cache,
            )
            for response in responses
        ]

    def caches_of(self, row_id: int) -> list[Any]:
        """Caches of a decoding row: its prompt and every token it has given so far."""
        caches, _ = self._batch.extract_cache([row_id])[row_id]
        return caches

    def leave(self, row_id: int) -> None:
        """Take a row out at once; one that has ended by itself is ignored."""
        self._batch.remove([row_id])
        self._rows.discard(row_id)

    def reset(self) -> None:
        """Drop all rows and begin anew."""
        self._batch.close()
        self._batch = self._new_batch()
        self._rows.clear()

    def close(self) -> None:
        self._batch.close()

    def _new_batch(self) -> BatchGenerator:
        return BatchGenerator(
            self.loaded.model, sampler=greedy, completion_batch_size=self._max_rows, prefill_batch_size=self._max_rows
        )
