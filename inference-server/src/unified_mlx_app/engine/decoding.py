"""The rows of the running batches: lets prefilled prompts join, turns each step's tokens into events, and ends rows.

A row that fails fails alone: its sampler and processors are guarded. Only an error of the model itself ends its whole batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from unified_mlx_app.engine.messages import Chunk, Event, Finished
from unified_mlx_app.engine.runner import Runner, Sampled
from unified_mlx_app.engine.sampling import (
    LogitsProcessor,
    Sampler,
    constrained,
    guard_processor,
    guard_sampler,
    make_processors,
    make_sampler,
    token_logprob,
)
from unified_mlx_app.engine.sequence import Request, Sequence
from unified_mlx_app.engine.text import TextStream
from unified_mlx_app.errors import AppError, GenerationError, InvalidRequestError
from unified_mlx_app.models.grammars import GrammarError
from unified_mlx_app.types import FinishReason, TokenLogprob

log = structlog.get_logger()


class Decoder:
    """Engine thread only. `on_failed` gets what broke, `on_finished` each row that ended by itself, with its
    caches and the number of its tokens that they hold beyond the prompt."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        on_finished: Callable[[Sequence, list[Any], int], None],
        on_failed: Callable[[Request, AppError], None],
    ) -> None:
        self._emit = emit
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._rows: dict[tuple[int, int], Sequence] = {}

    def join(self, request: Request, *, is_alone: bool) -> None:
        """Let each choice of a request decode with the others; `request.caches` hold all but the last token of the prompt.

        When nobody else waits to start, the first tokens are drawn at once: waiting for the next batch step would cost that
        step. In a burst the last tokens of all prompts run together in that step, which is faster for all.
        """
        runner, loaded, sampling = request.runner, request.loaded, request.command.sampling
        assert runner is not None
        assert loaded is not None
        request.sequences = [
            Sequence(request, choice, -1, TextStream(loaded.decode, sampling.stop, request.command.markup))
            for choice in range(request.command.num_choices)
        ]
        draws = [(_sampler(sequence), _processors(sequence)) for sequence in request.sequences]
        last_token = int(request.tokens[-1])
        if not is_alone:
            for sequence, (sampler, processors) in zip(request.sequences, draws, strict=True):
                self._join(sequence, last_token, sampler, processors)
            return
        first = runner.draw_first(request.caches, last_token, draws, loaded.adapter)
        for sequence, (sampler, processors), (token_id, logprobs) in zip(request.sequences, draws, first, strict=True):
            is_end = token_id in loaded.eos_token_ids and not sampling.ignore_eos
            reason = self._advance(
                sequence, token_id, logprobs, "stop" if is_end else "length" if sampling.max_tokens == 1 else None
            )
            if sequence.error is not None:
                return
            if reason is None:
                self._join(sequence, token_id, sampler, processors)
            else:
                self._on_finished(sequence, request.caches, 0)

    def _join(self, sequence: Sequence, token_id: int, sampler: Sampler, processors: list[LogitsProcessor]) -> None:
        runner, loaded, sampling = sequence.request.runner, sequence.request.loaded, sequence.request.command.sampling
        assert runner is not None
        assert loaded is not None
        sequence.row_id = runner.join(
            sequence.request.caches,
            token_id,
            max_tokens=sampling.max_tokens - len(sequence.token_ids),
            sampler=sampler,
            processors=processors,
            ignore_eos=sampling.ignore_eos,
            adapter=loaded.adapter,
        )
        self._rows[id(runner), sequence.row_id] = sequence

    def leave(self, request: Request) -> None:
        """Take all rows of a request out."""
        for sequence in request.sequences:
            if self._rows.pop((id(request.runner), sequence.row_id), None) is not None and request.runner is not None:
                request.runner.leave(sequence.row_id)

    def step(self, runner: Runner) -> int:
        """One decode step of `runner`'s rows. Returns the number of tokens it gave."""
        try:
            outputs = runner.step()
        except (RuntimeError, ValueError, MemoryError, IndexError, TypeError) as error:
            log.exception("decode_step_failed", path=runner.path)
            self._fail_batch(runner, error)
            return 0
        for sampled in outputs:
            sequence = self._rows.get((id(runner), sampled.row_id))
            if sequence is not None:
                self._take(runner, sequence, sampled)
        return len(outputs)

    def _take(self, runner: Runner, sequence: Sequence, sampled: Sampled) -> None:
        if sampled.finish_reason is not None:
            del self._rows[id(runner), sequence.row_id]
        reason = self._advance(sequence, sampled.token_id, sampled.logprobs, sampled.finish_reason)
        if reason is None:
            return
        caches = sampled.caches
        if caches is None:  # A stop string ended it: the batch does not know yet.
            del self._rows[id(runner), sequence.row_id]
            caches = runner.caches_of(sequence.row_id)
            runner.leave(sequence.row_id)
        self._on_finished(sequence, caches, len(sequence.token_ids))

    def _advance(self, sequence: Sequence, token_id: int, logprobs: Any, reason: FinishReason | None) -> FinishReason | None:
        """Take one token of a row and tell it. Returns why the row ends here; None if it goes on, or broke."""
        if sequence.error is not None:
            self._on_failed(sequence.request, sequence.error)
            return None
        sequence.token_ids.append(token_id)
        is_end_token = reason == "stop"
        piece = sequence.text.finish() if is_end_token else sequence.text.push(token_id)
        text, stop, reason = piece.text, piece.stop, "stop" if piece.is_stopped else reason
        if reason == "length":
            last = sequence.text.finish()
            text, stop, reason = text + last.text, last.stop, "stop" if last.is_stopped else reason
        is_told = not is_end_token or sequence.request.command.sampling.is_end_scored
        logprob = _logprob(sequence, token_id, logprobs) if is_told else None
        request_id, choice = sequence.request.request_id, sequence.choice
        logprobs = [logprob] if logprob is not None else None
        self._emit(Chunk(request_id=request_id, choice=choice, text=text, token_ids=[token_id], logprobs=logprobs))
        if reason is not None:
            num_tokens = len(sequence.token_ids)
            finished = Finished(request_id=request_id, choice=choice, reason=reason, completion_tokens=num_tokens, stop=stop)
            self._emit(finished)
        return reason

    def _fail_batch(self, runner: Runner, error: Exception) -> None:
        """The model itself raised: which row was the cause cannot be known, and the batch's state is lost."""
        requests = {id(sequence.request): sequence.request for (owner, _), sequence in self._rows.items() if owner == id(runner)}
        self._rows = {key: sequence for key, sequence in self._rows.items() if key[0] != id(runner)}
        runner.reset()
        for request in requests.values():
            self._on_failed(request, GenerationError(f"the model failed while generating: {error}"))


def _sampler(sequence: Sequence) -> Sampler:
    return guard_sampler(make_sampler(sequence.request.command.sampling, sequence.choice), partial(_break, sequence))


def _processors(sequence: Sequence) -> list[LogitsProcessor]:
    request = sequence.request
    processors = make_processors(request.command.sampling, request.tokens.tolist())
    if request.grammar is not None:
        processors.append(constrained(request.grammar.begin()))
    return [guard_processor(processor, partial(_break, sequence)) for processor in processors]


def _logprob(sequence: Sequence, token_id: int, logprobs: Any) -> TokenLogprob | None:
    num_top = sequence.request.command.sampling.top_logprobs
    return token_logprob(logprobs, token_id, num_top) if num_top is not None else None


def _break(sequence: Sequence, error: Exception) -> None:
    if isinstance(error, GrammarError):
        log.info("row_left_its_grammar", request_id=sequence.request.request_id, reason=str(error))
        sequence.error = InvalidRequestError(f"the answer's format became too much to follow: {error}")
        return
    log.error("row_failed", request_id=sequence.request.request_id, exc_info=error)
    sequence.error = GenerationError(f"sampling failed: {error}")
