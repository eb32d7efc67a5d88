"""The rows of the running batches: lets prefilled prompts join, turns each step's tokens into events, and ends rows.

A row that fails fails alone: its sampler and processors are guarded. Only an error of the model itself ends its whole batch.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from unified_mlx_app.engine.messages import Chunk, Event, Finished
from unified_mlx_app.engine.runner import Runner, Sampled
from unified_mlx_app.engine.sampling import (
    Draw,
    TokenMask,
    guard_processor,
    guard_sampler,
    make_processors,
    make_sampler,
    token_logprob,
)
from unified_mlx_app.engine.sequence import Request, Sequence
from unified_mlx_app.engine.speculation import Solo, solo_for
from unified_mlx_app.engine.text import TextStream
from unified_mlx_app.errors import AppError, GenerationError, InvalidRequestError
from unified_mlx_app.models.grammars import GrammarError
from unified_mlx_app.types import FinishReason, TokenLogprob

log = structlog.get_logger()


class Decoder:
    """Engine thread only. `on_failed` gets what broke, `on_finished` each row that ended by itself, with its caches and the
    number of its tokens that they hold beyond the prompt.

    A row that may guess ahead decodes alone as long as nobody else is on its runner.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        on_finished: Callable[[Sequence, list[Any], int], None],
        on_failed: Callable[[Request, AppError], None],
        *,
        chunk_tokens: int,
    ) -> None:
        self._emit = emit
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._chunk_tokens = chunk_tokens
        self._rows: dict[tuple[int, int], Sequence] = {}
        self._alone: dict[int, Solo] = {}
        """By runner: the row that decodes alone there."""
        self._resting: dict[tuple[int, int], Solo] = {}
        """Rows of a batch that may come to decode alone."""

    def join(self, request: Request, *, is_alone: bool) -> None:
        """Let each choice of a request decode with the others; `request.caches` hold its prompt up to `request.position`.

        The first tokens are drawn from the rest of the prompt at once. Only if that is its last token, and others wait to start,
        it runs in the batch: in a burst the last tokens of all prompts go together in one step, which is faster for all.
        """
        runner, loaded, sampling = request.runner, request.loaded, request.command.sampling
        assert runner is not None
        assert loaded is not None
        request.sequences = [
            Sequence(request, choice, -1, TextStream(loaded.decode, sampling.stop, request.command.markup))
            for choice in range(request.command.num_choices)
        ]
        draws = [_draw(sequence) for sequence in request.sequences]
        solos = [
            solo_for(sequence, draw, chunk_tokens=self._chunk_tokens)
            for sequence, draw in zip(request.sequences, draws, strict=True)
        ]
        rest = request.tokens[request.position :]
        if len(rest) == 1 and not is_alone:
            for sequence, draw, solo in zip(request.sequences, draws, solos, strict=True):
                self._join(sequence, int(rest[0]), draw, solo)
            return
        first = runner.draw_first(request.caches, rest, draws, loaded.adapter)
        for sequence, draw, solo, (token_id, logprobs) in zip(request.sequences, draws, solos, first, strict=True):
            reason = self._advance(sequence, token_id, logprobs, _end_at(sequence, token_id))
            if sequence.error is not None:
                return
            if reason is None:
                self._join(sequence, token_id, draw, solo)
            else:
                self._on_finished(sequence, request.caches, 0)

    def _join(self, sequence: Sequence, token_id: int, draw: Draw, solo: Solo | None) -> None:
        """Let a row decode alone if it may and nobody else is on its runner, else in the batch, where one that is alone goes
        first. `token_id` is the last of its prompt or answer, which its caches do not hold."""
        runner = sequence.request.runner
        assert runner is not None
        other = self._alone.pop(id(runner), None)
        if other is not None:
            self._insert(other.sequence, other.rest(), other.sequence.token_ids[-1], other.draw, other)
        if solo is not None and sequence.token_ids and not runner.num_rows:
            solo.begin(sequence.request.caches)
            self._alone[id(runner)] = solo
        else:
            self._insert(sequence, sequence.request.caches, token_id, draw, solo)

    def _insert(self, sequence: Sequence, caches: list[Any], token_id: int, draw: Draw, solo: Solo | None) -> None:
        runner, loaded, sampling = sequence.request.runner, sequence.request.loaded, sequence.request.command.sampling
        assert runner is not None
        assert loaded is not None
        sequence.row_id = runner.join(
            caches,
            token_id,
            max_tokens=sampling.max_tokens - len(sequence.token_ids),
            draw=draw,
            ignore_eos=sampling.ignore_eos,
            adapter=loaded.adapter,
        )
        row = (id(runner), sequence.row_id)
        self._rows[row] = sequence
        if solo is not None and solo.can_return:
            self._resting[row] = solo

    def leave(self, request: Request) -> None:
        """Take all rows of a request out."""
        runner = request.runner
        if runner is None:
            return
        solo = self._alone.get(id(runner))
        if solo is not None and solo.sequence.request is request:
            del self._alone[id(runner)]
        for sequence in request.sequences:
            if self._forget_row(runner, sequence):
                runner.leave(sequence.row_id)

    def _forget_row(self, runner: Runner, sequence: Sequence) -> bool:
        row = (id(runner), sequence.row_id)
        self._resting.pop(row, None)
        return self._rows.pop(row, None) is not None

    def step(self, runner: Runner) -> int:
        """One decode step of `runner`'s rows. Returns the number of tokens it gave."""
        solo = self._alone.get(id(runner)) or self._alone_again(runner)
        if solo is not None:
            return self._step_alone(runner, solo)
        if not runner.num_rows:
            return 0
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

    def _alone_again(self, runner: Runner) -> Solo | None:
        """The last row of a batch, if it leaves it now to decode alone."""
        resting = [solo for (owner, _), solo in self._resting.items() if owner == id(runner)]
        for solo in resting:
            solo.note_company(runner.num_rows > 1)
        if runner.num_rows > 1 or not resting or not resting[0].is_settled:
            return None
        (solo,) = resting
        caches = runner.caches_of(solo.sequence.row_id)
        self._forget_row(runner, solo.sequence)
        runner.leave(solo.sequence.row_id)
        for cache in caches:
            cache.trim(1)  # The last token runs again, with guesses at what follows it.
        solo.begin(caches)
        self._alone[id(runner)] = solo
        return solo

    def _step_alone(self, runner: Runner, solo: Solo) -> int:
        sequence = solo.sequence
        num_held = len(sequence.token_ids) - 1
        try:
            drawn = solo.step()
        except (RuntimeError, ValueError, MemoryError, IndexError, TypeError) as error:
            log.exception("pass_over_guesses_failed", path=runner.path)
            self._on_failed(sequence.request, GenerationError(f"the model failed while generating: {error}"))
            return 0
        num_held += len(drawn)
        for index, (token_id, logprobs) in enumerate(drawn):
            sequence.num_guessed_right += index < len(drawn) - 1
            reason = self._advance(sequence, token_id, logprobs, _end_at(sequence, token_id))
            if sequence.error is not None:
                break
            if reason is not None:
                del self._alone[id(runner)]
                # The answer may end before the last guess that was right.
                num_kept = min(num_held, len(sequence.token_ids))
                self._on_finished(sequence, solo.caches_after(num_held - num_kept), num_kept)
                return index + 1
        return len(drawn)

    def _take(self, runner: Runner, sequence: Sequence, sampled: Sampled) -> None:
        if sampled.finish_reason is not None:
            self._forget_row(runner, sequence)
        reason = self._advance(sequence, sampled.token_id, sampled.logprobs, sampled.finish_reason)
        if reason is None:
            return
        caches = sampled.caches
        if caches is None:  # A stop string ended it: the batch does not know yet.
            self._forget_row(runner, sequence)
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
            num_tokens, request = len(sequence.token_ids), sequence.request
            finished = Finished(
                request_id=request_id,
                choice=choice,
                reason=reason,
                completion_tokens=num_tokens,
                stop=stop,
                num_guessed=sequence.num_guessed,
                num_guessed_right=sequence.num_guessed_right,
                prefill_seconds=request.decoding_at - request.started_at,
                decode_seconds=time.monotonic() - request.decoding_at,
            )
            self._emit(finished)
        return reason

    def _fail_batch(self, runner: Runner, error: Exception) -> None:
        """The model itself raised: which row was the cause cannot be known, and the batch's state is lost."""
        requests = {id(sequence.request): sequence.request for (owner, _), sequence in self._rows.items() if owner == id(runner)}
        self._rows = {key: sequence for key, sequence in self._rows.items() if key[0] != id(runner)}
        self._resting = {key: solo for key, solo in self._resting.items() if key[0] != id(runner)}
        runner.reset()
        for request in requests.values():
            self._on_failed(request, GenerationError(f"the model failed while generating: {error}"))


def _draw(sequence: Sequence) -> Draw:
    request, on_error = sequence.request, partial(_break, sequence)
    sampler = make_sampler(request.command.sampling, sequence.choice)
    processors = make_processors(request.command.sampling, request.tokens.tolist())
    mask = TokenMask(request.grammar.begin(), on_error) if request.grammar is not None else None
    return Draw(guard_sampler(sampler, on_error), [guard_processor(processor, on_error) for processor in processors], mask)


def _end_at(sequence: Sequence, token_id: int) -> FinishReason | None:
    """Why the row ends with `token_id`, which follows its tokens so far, as a batch would say."""
    loaded, sampling = sequence.request.loaded, sequence.request.command.sampling
    assert loaded is not None
    if token_id in loaded.eos_token_ids and not sampling.ignore_eos:
        return "stop"
    return "length" if len(sequence.token_ids) + 1 == sampling.max_tokens else None


def _logprob(sequence: Sequence, token_id: int, logprobs: Any) -> TokenLogprob | None:
    num_top = sequence.request.command.sampling.top_logprobs
    return token_logprob(logprobs, token_id, num_top) if num_top is not None else None


def _break(sequence: Sequence, error: Exception) -> None:
    if isinstance(error, GrammarError):
        log.info("row_left_its_grammar", request_id=sequence.request.log_id, reason=str(error))
        sequence.error = InvalidRequestError(f"the answer's format became too much to follow: {error}")
        return
    log.error("row_failed", request_id=sequence.request.log_id, exc_info=error)
    sequence.error = GenerationError(f"sampling failed: {error}")
