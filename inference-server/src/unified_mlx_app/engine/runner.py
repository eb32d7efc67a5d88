"""Runs one base model with its adapters: prefill of single prompts in chunks, decoding of many rows together.

Engine thread only. Prefill is always done for one prompt alone and cut at positions that its tokens determine, so the KV
state of a prefix is bit for bit the same whatever else runs (measured on CPU; batching a prefill would change the last bits).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.generate import BatchGenerator, StopSequences
from mlx_lm.models.cache import make_prompt_cache
from numpy.typing import NDArray

from unified_mlx_app.cache.kv import KVState, capture, restore
from unified_mlx_app.engine.sampling import Draw, TokenMask, following_logprobs, greedy, masked
from unified_mlx_app.models.loader import LoadedModel
from unified_mlx_app.models.multi_lora import Adapter, SharedModel
from unified_mlx_app.models.row_values import RowValues
from unified_mlx_app.types import FinishReason, TokenLogprob

_NUM_RIDING = 2
"""Values that ride with a row behind its caches: its adapter and its mask."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One row's new token, which its KV state holds already. `caches` is set when the row ended by itself."""

    row_id: int
    token_id: int
    logprobs: mx.array
    finish_reason: FinishReason | None
    caches: list[Any] | None


class Runner:
    """Serves every model that shares the batch of `loaded`; holds no adapter but those of its rows.

    Rows are known by the id that `join` gives; ids are never used again.
    """

    def __init__(self, loaded: LoadedModel, *, max_rows: int) -> None:
        self.path = loaded.spec.path
        self._model = loaded.model
        self._shared = loaded.shared
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
        return restore(state, num_tokens) if state is not None else make_prompt_cache(self._model)

    def prefill(self, caches: list[Any], tokens: NDArray[np.int32], adapter: Adapter | None = None) -> None:
        """Run `tokens` of one prompt through the model; returns when their KV state is computed."""
        with mx.stream(self._batch.stream):
            self._shared.run_alone(mx.array(tokens)[None], caches, adapter)
            mx.eval([cache.state for cache in caches])

    def score(
        self,
        caches: list[Any],
        tokens: NDArray[np.int32],
        following: NDArray[np.int32],
        num_top: int,
        adapter: Adapter | None = None,
    ) -> list[TokenLogprob]:
        """As `prefill`; returns how likely each of `following` was, the tokens that come after each of `tokens`."""
        with mx.stream(self._batch.stream):
            logits = self._shared.run_alone(mx.array(tokens)[None], caches, adapter)[0]
            logprobs = following_logprobs(logits, following, num_top)
            mx.eval([cache.state for cache in caches])
        return logprobs

    def states(self, caches: list[Any], tokens: NDArray[np.int32], adapter: Adapter | None = None) -> NDArray[np.float32]:
        """As `prefill`; returns what the output layer would see: (tokens, dim). Raises ValueError for a model that hides it."""
        with mx.stream(self._batch.stream):
            states = self._shared.states_alone(mx.array(tokens)[None], caches, adapter)
            if getattr(states, "shape", ())[:2] != (1, len(tokens)):
                raise ValueError("the model does not show one state a token")
            mx.eval(states, [cache.state for cache in caches])
            return np.array(states[0].astype(mx.float32))

    def draw_first(
        self,
        caches: list[Any],
        rest: NDArray[np.int32],
        choices: Sequence[Draw],
        adapter: Adapter | None = None,
    ) -> list[tuple[int, mx.array]]:
        """Run the last tokens of a prompt and draw the first token of each choice from them: (token id, logprobs (vocab,)).

        At batch 1, so that the first token does not wait for the batch and does not depend on who else is in it.
        """
        with mx.stream(self._batch.stream):
            context = mx.array(rest)
            last_logits = self._shared.run_alone(context[None], caches, adapter)[:, -1, :]
            drawn: list[tuple[mx.array, mx.array]] = []
            for draw in choices:
                logits = draw.prepare(context, last_logits)
                logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
                drawn.append((draw.sampler(logprobs), logprobs[0]))
            mx.eval(drawn, [cache.state for cache in caches])
        return [(cast(int, token.item()), logprobs) for token, logprobs in drawn]

    def check(
        self,
        caches: list[Any],
        tokens: Sequence[int],
        draw: Draw,
        adapter: Adapter | None = None,
    ) -> list[tuple[int, mx.array]]:
        """Run a row's last token and guesses at what follows it, all in one pass. Returns the row's own next tokens up to and
        with the first that is no guess: (token id, logprobs (vocab,)). `caches` hold the others, and no guess that was wrong.

        The draw's parts are called once for each token returned, in order, as a step of the batch calls them.
        """
        with mx.stream(self._batch.stream):
            logits = self._shared.run_alone(mx.array(list(tokens))[None], caches, adapter)[0]
            drawn = _drawn_greedily(logits, tokens) if draw.is_greedy else _drawn_in_order(logits, tokens, draw)
            mx.eval([cache.state for cache in caches])
        for cache in caches:
            cache.trim(len(tokens) - len(drawn))
        return drawn

    def continue_greedily(self, caches: list[Any], tokens: NDArray[np.int32], num_tokens: int) -> list[int]:
        """Run `tokens` of one row, then its likeliest continuation of `num_tokens`, the last of which stays out of `caches`."""
        with mx.stream(self._batch.stream):
            inputs, drawn = mx.array(tokens), list[mx.array]()
            while len(drawn) < num_tokens:
                inputs = greedy(self._shared.run_alone(inputs[None], caches, None)[:, -1, :])
                drawn.append(inputs)
            mx.eval(drawn, [cache.state for cache in caches])
        return [cast(int, token.item()) for token in drawn]

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
        draw: Draw,
        ignore_eos: bool,
        adapter: Adapter | None = None,
    ) -> int:
        """Let a row decode with the others: `caches` hold all before `token`; the batch copies them. Returns the row's id."""
        (row_id,) = self._batch.insert(
            [[token]],
            [max_tokens],
            caches=[[*caches, RowValues([adapter]), RowValues([draw.mask])]],
            all_tokens=[[]],
            samplers=[draw.sampler],
            logits_processors=[draw.processors],
            stop_sequences=[self._never_stop if ignore_eos else self._stop],
        )
        self._rows.add(row_id)
        return row_id

    def step(self) -> list[Sampled]:
        """One decode step of all rows. Whatever the model raises comes out; the rows are lost then: call `reset`."""
        _, responses = self._batch.next()
        self._lose(response.uid for response in responses if response.finish_reason is not None)
        return [
            Sampled(
                response.uid,
                response.token,
                response.logprobs,
                cast(FinishReason | None, response.finish_reason),
                response.prompt_cache[:-_NUM_RIDING] if response.prompt_cache is not None else None,
            )
            for response in responses
        ]

    def caches_of(self, row_id: int) -> list[Any]:
        """Caches of a decoding row: its prompt and every token it has given so far."""
        caches, _ = self._batch.extract_cache([row_id])[row_id]
        return caches[:-_NUM_RIDING]

    def leave(self, row_id: int) -> None:
        """Take a row out at once; one that has ended by itself is ignored."""
        self._batch.remove([row_id])
        self._lose([row_id])

    def reset(self) -> None:
        """Drop all rows and begin anew."""
        self._batch.close()
        self._batch = self._new_batch()
        self._lose(list(self._rows))

    def close(self) -> None:
        self._batch.close()

    def _lose(self, row_ids: Iterable[int]) -> None:
        self._rows.difference_update(row_ids)
        if not self._rows:
            self._shared.forget_rows()

    def _new_batch(self) -> BatchGenerator:
        model = cast(nn.Module, _MaskedModel(self._shared))  # It is only ever called.
        return BatchGenerator(model, sampler=greedy, completion_batch_size=self._max_rows, prefill_batch_size=self._max_rows)


class _MaskedModel:
    """A model as batches call it: all rows that answer in a demanded format are masked together. Its last cache is the RowValues
    of masks, None for a free row; the one before it is SharedModel's."""

    def __init__(self, shared: SharedModel) -> None:
        self._shared = shared

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        *caches, masks = cache
        rows: list[TokenMask | None] = masks.values
        logits = self._shared(tokens, caches)
        return masked(tokens[:, -1], logits[:, -1, :], rows)[:, None, :] if any(rows) else logits


def _drawn_greedily(logits: mx.array, tokens: Sequence[int]) -> list[tuple[int, mx.array]]:
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    likeliest = cast(list[int], greedy(logprobs).tolist())
    wrong = (index for index, guess in enumerate(tokens[1:]) if guess != likeliest[index])
    num_drawn = next(wrong, len(tokens) - 1) + 1
    return [(likeliest[index], logprobs[index]) for index in range(num_drawn)]


def _drawn_in_order(logits: mx.array, tokens: Sequence[int], draw: Draw) -> list[tuple[int, mx.array]]:
    drawn: list[tuple[int, mx.array]] = []
    for index, token in enumerate(tokens):
        if drawn and drawn[-1][0] != token:
            break
        row = draw.prepare(mx.array([token]), logits[index : index + 1])
        logprobs = row - mx.logsumexp(row, axis=-1, keepdims=True)
        drawn.append((cast(int, draw.sampler(logprobs).item()), logprobs[0]))
    return drawn
