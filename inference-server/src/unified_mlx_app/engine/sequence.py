"""A request on its way through the engine, and the rows it decodes. Engine thread only; plain data and small rules."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.lookup import TAIL_TOKENS, Match, Prompt
from unified_mlx_app.engine.messages import Generate, Started
from unified_mlx_app.engine.runner import Runner
from unified_mlx_app.engine.text import TextStream
from unified_mlx_app.errors import AppError, InvalidRequestError, UnsupportedFieldError
from unified_mlx_app.models.grammars import Grammar
from unified_mlx_app.models.loader import LoadedModel
from unified_mlx_app.types import CacheReport, MissReason


class Phase(StrEnum):
    """waiting → (restoring →) prefilling → decoding → done; a request may be done from any phase."""

    WAITING = "waiting"
    RESTORING = "restoring"
    PREFILLING = "prefilling"
    DECODING = "decoding"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Sequence:
    """One choice of a request: one row of the batch."""

    request: "Request"
    choice: int
    row_id: int
    text: TextStream
    token_ids: list[int] = field(default_factory=list)
    num_guessed: int = 0
    num_guessed_right: int = 0
    """Of the tokens guessed ahead, those that are in `token_ids`."""
    error: AppError | None = None
    """Set by a sampler or processor of this row that raised: the row fails, its neighbours go on."""


@dataclass(slots=True, eq=False)
class Request:
    """`position` counts the prompt tokens whose KV state is in `caches`."""

    command: Generate
    tokens: NDArray[np.int32]
    arrived_at: float
    deadline_at: float | None
    phase: Phase = Phase.WAITING
    runner: Runner | None = None
    loaded: LoadedModel | None = None
    draft: LoadedModel | None = None
    draft_runner: Runner | None = None
    grammar: Grammar | None = None
    prompt: Prompt | None = None
    match: Match | None = None
    failed_read: MissReason | None = None
    caches: list[Any] = field(default_factory=list)
    position: int = 0
    cuts: list[int] = field(default_factory=list)
    """Where the prefill of `caches` was cut so far, the reused part's included."""
    reserved_bytes: int = 0
    sequences: list[Sequence] = field(default_factory=list)
    num_finished: int = 0
    lookup_seconds: float = 0.0
    restore_seconds: float = 0.0
    asked_at: float = 0.0
    started_at: float = 0.0
    decoding_at: float = 0.0
    """When the state on disk was asked for, prefill began, and decoding; in monotonic seconds, as `arrived_at`."""
    pooled: NDArray[np.float64] | float = 0.0
    """With `pooling`: the last token's state, or the sum of all so far."""

    @property
    def request_id(self) -> str:
        return self.command.request_id

    @property
    def log_id(self) -> str:
        """What the log calls it: its client's name for it, if it has one."""
        return self.command.client_id or self.request_id

    @property
    def reads_prompt(self) -> bool:
        """Whether it wants more of the prompt's tokens than their KV state: it neither uses nor fills the prompt cache."""
        return self.command.prompt_logprobs is not None or self.command.pooling is not None

    @property
    def may_join_tail(self) -> bool:
        """Whether the end of its prompt may run in the pass that gives the answer's first token."""
        return not self.reads_prompt and not self.command.is_warmup

    @property
    def remaining_tokens(self) -> int:
        return len(self.tokens) - self.position

    def started(self, report: CacheReport) -> Started:
        """What is told when prefill begins."""
        return Started(
            request_id=self.request_id,
            cache=report,
            queue_seconds=self.started_at - self.arrived_at,
            lookup_seconds=self.lookup_seconds,
            restore_seconds=self.restore_seconds,
        )

    def boundary_end(self, kind: str) -> int | None:
        """Where the last part of `kind` ends, if the prompt has one."""
        return max((boundary.end_tokens for boundary in self.command.boundaries if boundary.kind == kind), default=None)

    def next_cut(self) -> int | None:
        """Where the next prefill chunk ends; None when what is left runs in the pass that gives the answer's first token.

        A state that is reused beyond the last cut of a cold run leaves a short rest too, which needs no pass of its own.
        """
        assert self.prompt is not None
        cut = next((cut for cut in self.prompt.cuts if cut > self.position), None)
        is_rest = cut == len(self.tokens) - 1 and self.remaining_tokens <= TAIL_TOKENS
        return None if is_rest and self.may_join_tail else cut


def check_token_ids(request: Request, vocab_size: int) -> None:
    """Raises InvalidRequestError. MLX does not check: an id beyond the table reads or writes foreign memory (mlx 0.32)."""
    if int(request.tokens.max()) >= vocab_size:
        raise InvalidRequestError(f"token ids must be below {vocab_size}", param="prompt")
    if any(not 0 <= token_id < vocab_size for token_id in request.command.sampling.logit_bias):
        raise InvalidRequestError(f"token ids must be below {vocab_size}", param="logit_bias")


def check_speculation(request: Request, loaded: LoadedModel) -> None:
    """Raises UnsupportedFieldError where a request asks for guesses itself and the model cannot take them back."""
    speculation = request.command.speculation
    if speculation is not None and speculation.is_asked and loaded.why_no_guesses is not None:
        reason = f"this model cannot check tokens guessed ahead: {loaded.why_no_guesses}"
        raise UnsupportedFieldError(reason, param="speculation")


def prefill_cuts(request: Request, chunk_tokens: int, *, is_trimmable: bool) -> list[int]:
    """Ascending positions at which the prefill of a prompt is cut, a function of its tokens and boundaries alone.

    Chunks are counted from the start and again from the end of the system part, so that every request with the same
    system part cuts it alike and a state reused from it equals the cold run's bit for bit. States that can be trimmed
    are cut at no other boundary: each cut costs a pass over the model. The last cut leaves the last token of the prompt,
    or the whole of a short last chunk, to the pass that gives the answer's first token.
    """
    num_tokens, command = len(request.tokens), request.command
    system_end = request.boundary_end("system") or 0
    end = num_tokens
    if command.is_warmup:
        end = system_end or num_tokens
    elif command.pooling is None:
        end = num_tokens - 1
    cuts = {*range(chunk_tokens, system_end, chunk_tokens), system_end, *range(system_end + chunk_tokens, end, chunk_tokens)}
    if not is_trimmable:
        cuts.update(boundary.end_tokens for boundary in command.boundaries)
    ascending = sorted(cut for cut in cuts if 0 < cut < end)
    is_tail_short = num_tokens - max(ascending, default=0) <= TAIL_TOKENS
    return ascending if is_tail_short and request.may_join_tail else [*ascending, end]
