"""Draws tokens for one row of a batch: its own RNG key, its own filters, penalties and grammar.

mlx-lm's sampler draws from the thread's RNG, so a seeded row would change with its neighbours; here each row carries a key.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p
from numpy.typing import NDArray

from unified_mlx_app.models.grammars import GrammarRow
from unified_mlx_app.types import SamplingParams, TokenLogprob

Sampler = Callable[[mx.array], mx.array]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]

_IMPOSSIBLE = -9999.0
"""In place of minus infinity, which JSON does not have; vLLM's number."""
_BITS = np.uint32(1) << np.arange(32, dtype=np.uint32)
_ALL = np.uint32(2**32 - 1)
_SEED_STRIDE = 0x9E3779B97F4A7C15  # The golden ratio's bits: spreads consecutive seeds over the key space.


class TokenMask:
    """What a row's grammar allows next; asked once for each of its tokens, in order.

    A grammar that breaks allows everything, and the row is ended by whoever was told.
    """

    def __init__(self, row: GrammarRow, on_error: Callable[[Exception], None]) -> None:
        self._row = row
        self._on_error = on_error
        self._is_at_start = True

    def after(self, token_id: int) -> NDArray[np.uint32] | None:
        """Bits of the tokens that may follow `token_id`, the row's last one; at first that is the prompt's. None: all may."""
        try:
            if not self._is_at_start:
                self._row.advance(token_id)
            self._is_at_start = False
            return self._row.mask()
        except Exception as error:  # The edge between one row's code and the batch it shares.
            self._on_error(error)
            return None


@dataclass(frozen=True, slots=True)
class Draw:
    """How the tokens of one row are drawn: from what `mask` allows, after `processors`, by `sampler`."""

    sampler: Sampler
    processors: list[LogitsProcessor]
    mask: TokenMask | None = None

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is drawn, whatever came before it."""
        return self.sampler is greedy and not self.processors and self.mask is None

    def prepare(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """The logits (1, vocab) after `tokens`, as the sampler is to see them."""
        if self.mask is not None:
            logits = masked(tokens[-1:], logits, [self.mask])
        for processor in self.processors:
            logits = processor(tokens, logits)
        return logits


def masked(tokens: mx.array, logits: mx.array, masks: Sequence[TokenMask | None]) -> mx.array:
    """Logits (rows, vocab) with minus infinity for what the mask of a row forbids after its last token, of `tokens` (rows,).

    Plain operations, so that it runs wherever MLX does; llguidance's own kernel is for Metal only (1.9). All rows go through the
    same few: on a GPU each operation costs more than the few bytes that it moves.
    """
    # The pass over the model, which the masks do not depend on, runs while the grammars are asked.
    mx.async_eval(logits)
    last = cast(list[int], tokens.tolist())
    words = np.full((len(masks), -(-logits.shape[-1] // 32)), _ALL, np.uint32)
    for row, (mask, token_id) in enumerate(zip(masks, last, strict=True)):
        if mask is not None and (allowed := mask.after(token_id)) is not None:
            words[row] = allowed[: words.shape[1]]  # llguidance may have a word more than the vocabulary takes.
    # The words are an eighth of the bytes that flags would be on their way to a GPU.
    flags = (mx.array(words)[:, :, None] & mx.array(_BITS)) != 0
    return mx.where(flags.reshape(len(masks), -1)[:, : logits.shape[-1]], logits, mx.array(-mx.inf, logits.dtype))


def greedy(logprobs: mx.array) -> mx.array:
    """The likeliest token of each row; one shared function, so that a greedy batch is one operation."""
    return mx.argmax(logprobs, axis=-1)


def make_sampler(params: SamplingParams, choice: int) -> Sampler:
    """A sampler of logprobs (1, vocab) → (1,). Choice 0 of a seeded request draws what it draws with n = 1."""
    if params.temperature == 0:
        return greedy
    seed = params.seed if params.seed is not None else secrets.randbits(63)
    key = mx.random.key((seed + choice * _SEED_STRIDE) % 2**64)

    def sample(logprobs: mx.array) -> mx.array:
        nonlocal key
        key, step_key = mx.random.split(key)
        return mx.random.categorical(_filtered(logprobs, params), key=step_key)

    return sample


def make_processors(params: SamplingParams, prompt: list[int]) -> list[LogitsProcessor]:
    """Logits processors of one row, in the order bias, penalties. They are stateful: one list a row."""
    processors: list[LogitsProcessor] = []
    if params.logit_bias:
        processors.append(_Bias(params.logit_bias))
    if params.repetition_penalty != 1.0 or params.presence_penalty or params.frequency_penalty:
        processors.append(_Penalties(params, prompt))
    return processors


def guard_sampler(sampler: Sampler, on_error: Callable[[Exception], None]) -> Sampler:
    """A sampler that never raises into the batch: after an error it draws greedily and the row is ended by whoever was told."""
    if sampler is greedy:
        return greedy

    def sample(logprobs: mx.array) -> mx.array:
        try:
            return sampler(logprobs)
        except Exception as error:  # The edge between one row's code and the batch it shares.
            on_error(error)
            return greedy(logprobs)

    return sample


def guard_processor(processor: LogitsProcessor, on_error: Callable[[Exception], None]) -> LogitsProcessor:
    """As `guard_sampler`; after an error the logits stay as they are."""

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        try:
            return processor(tokens, logits)
        except Exception as error:  # The edge between one row's code and the batch it shares.
            on_error(error)
            return logits

    return process


def token_logprob(logprobs: mx.array, token_id: int, num_top: int) -> TokenLogprob:
    """Log-probability of `token_id` and of the `num_top` likeliest tokens, from logprobs (vocab,)."""
    top: list[int] = []
    if num_top:
        candidates = mx.argpartition(-logprobs, kth=num_top - 1)[:num_top]
        top = candidates[mx.argsort(-logprobs[candidates])].tolist()  # pyright: ignore[reportAssignmentType]
    values: list[float] = logprobs[mx.array([token_id, *top])].tolist()  # pyright: ignore[reportAssignmentType]
    # A constrained row may have fewer possible tokens than were asked for.
    possible = [(token, value) for token, value in zip(top, values[1:], strict=True) if value > -math.inf]
    return TokenLogprob(token_id=token_id, logprob=values[0], top=tuple(possible))


def following_logprobs(logits: mx.array, following: NDArray[np.int32], num_top: int) -> list[TokenLogprob]:
    """Log-probability of each of `following` (n,) under the logits (n, vocab) before it, and of the `num_top` likeliest there."""
    logits = logits.astype(mx.float32)
    normalizers = mx.logsumexp(logits, axis=-1, keepdims=True)
    ids = mx.array(following)[:, None]
    if num_top == 1:
        top = mx.argmax(logits, axis=-1, keepdims=True)
    elif num_top:
        top = mx.argpartition(-logits, kth=num_top - 1, axis=-1)[:, :num_top]
        order = mx.argsort(-mx.take_along_axis(logits, top, axis=-1), axis=-1)
        top = mx.take_along_axis(top, order, axis=-1)
    else:
        top = ids[:, :0]
    ids = mx.concatenate([ids, top.astype(ids.dtype)], axis=-1)
    values = mx.maximum(mx.take_along_axis(logits, ids, axis=-1) - normalizers, _IMPOSSIBLE)
    rows: list[tuple[list[int], list[float]]] = list(zip(ids.tolist(), values.tolist(), strict=True))  # pyright: ignore[reportArgumentType]
    return [
        TokenLogprob(token_id=row_ids[0], logprob=row[0], top=tuple(zip(row_ids[1:], row[1:], strict=True)))
        for row_ids, row in rows
    ]


def _filtered(logprobs: mx.array, params: SamplingParams) -> mx.array:
    """Temperature first, then the filters, as OpenAI and vLLM do; mlx-lm filters before it scales."""
    scaled = logprobs * (1 / params.temperature)
    if params.top_k or params.top_p < 1 or params.min_p:
        scaled = scaled - mx.logsumexp(scaled, axis=-1, keepdims=True)
    if 0 < params.top_k < scaled.shape[-1]:
        scaled = apply_top_k(scaled, params.top_k)
    if 0 < params.top_p < 1:
        scaled = apply_top_p(scaled, params.top_p)
    if params.min_p:
        scaled = apply_min_p(scaled, params.min_p)
    return scaled


class _Bias:
    """Adds a constant to chosen logits; ids were checked against the vocabulary."""

    def __init__(self, logit_bias: dict[int, float]) -> None:
        self._ids = mx.array(list(logit_bias))
        self._values = mx.array(list(logit_bias.values()))

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        return logits.at[:, self._ids].add(self._values.astype(logits.dtype))


class _Penalties:
    """Repetition penalty (Keskar et al. 2019) over prompt and answer; presence and frequency penalties over the answer."""

    def __init__(self, params: SamplingParams, prompt: list[int]) -> None:
        self._params = params
        self._prompt = mx.array(prompt)
        self._counts: mx.array | None = None
        self._is_in_prompt: mx.array | None = None

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        if self._counts is None or self._is_in_prompt is None:
            # The first call's last token belongs to the prompt.
            self._counts = mx.zeros(logits.shape[-1], mx.float32)
            self._is_in_prompt = mx.zeros(logits.shape[-1], mx.bool_).at[self._prompt].maximum(True)
        else:
            self._counts = self._counts.at[tokens[-1]].add(1)
        is_in_answer = self._counts > 0
        params = self._params
        if params.repetition_penalty != 1.0:
            penalised = mx.where(logits > 0, logits / params.repetition_penalty, logits * params.repetition_penalty)
            logits = mx.where(is_in_answer | self._is_in_prompt, penalised, logits)
        return logits - params.presence_penalty * is_in_answer - params.frequency_penalty * self._counts
