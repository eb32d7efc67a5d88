"""Decides what the engine does next: admits requests, prefills prompts in chunks between decode steps, and ends rows.

Engine thread only. The policy can be read without knowing MLX: runners do the computing, the prompt cache the remembering.
One turn is one decode step of every base model with rows and prefill of about one chunk, so a long prompt never freezes running
streams for longer than a chunk takes, and a burst of short prompts starts together.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import structlog

from unified_mlx_app.cache.kv import KVState
from unified_mlx_app.cache.prompt_cache import PromptCacheService
from unified_mlx_app.engine.admission import is_being_computed, may_prefill, prompt_of
from unified_mlx_app.engine.constraints import GrammarCompiler
from unified_mlx_app.engine.decoding import Decoder
from unified_mlx_app.engine.drafts import Drafts
from unified_mlx_app.engine.keeping import StateKeeper
from unified_mlx_app.engine.messages import Event, Failed, Finished, Generate, Progress
from unified_mlx_app.engine.runner import Runner
from unified_mlx_app.engine.scoring import embedding_events, read_to, reading_bytes
from unified_mlx_app.engine.sequence import Phase, Request, Sequence, check_speculation, check_token_ids
from unified_mlx_app.errors import (
    AppError,
    DeadlineError,
    GenerationError,
    InvalidRequestError,
    MemoryBudgetError,
    ShuttingDownError,
)
from unified_mlx_app.models.loader import LoadedModel, mixing_bytes
from unified_mlx_app.models.manager import ModelManager
from unified_mlx_app.types import CacheReport, FinishReason, MissReason, ModelSpec

log = structlog.get_logger()

_MAX_SCANNED = 32
"""Waiting requests looked at in a turn."""


@dataclass(slots=True)
class Totals:
    """Counters since the engine started."""

    turns: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0


class Scheduler:
    """`emit` takes the events of a turn; nothing here blocks but the computing itself."""

    def __init__(
        self,
        *,
        manager: ModelManager,
        cache: PromptCacheService,
        grammars: GrammarCompiler,
        emit: Callable[[Event], None],
        max_rows: int,
        chunk_tokens: int,
        memory_limit_bytes: int,
    ) -> None:
        self._manager = manager
        self._cache = cache
        self._grammars = grammars
        self._emit = emit
        self._max_rows = max_rows
        self._chunk_tokens = chunk_tokens
        self._memory_limit_bytes = memory_limit_bytes
        self._waiting: deque[Request] = deque()
        self._active: dict[str, Request] = {}
        self._runners: dict[int, Runner] = {}
        self._keeper = StateKeeper(cache, self._spare_bytes)
        self._decoder = Decoder(emit, self._finish_choice, self._fail, chunk_tokens=chunk_tokens)
        self._drafts = Drafts(manager)
        self._is_draining = False
        self.totals = Totals()

    # --------------------------------------------------------------- commands

    def submit(self, command: Generate) -> None:
        """Queue a request. Its end is told by events in every case."""
        now = time.monotonic()
        deadline_at = now + command.deadline_seconds if command.deadline_seconds is not None else None
        are_ids = all(0 <= token_id < 2**31 for token_id in command.prompt)
        request = Request(command, np.asarray(command.prompt if are_ids else [], np.int32), now, deadline_at)
        if self._is_draining:
            self._fail(request, ShuttingDownError("the server is shutting down; send the request again in a moment"))
        elif not command.prompt:
            self._fail(request, InvalidRequestError("the prompt has no tokens", param="prompt"))
        elif not are_ids:
            self._fail(request, InvalidRequestError("the prompt has token ids that no model knows", param="prompt"))
        else:
            self._waiting.append(request)

    def cancel(self, request_id: str) -> None:
        """Stop a request in whatever phase it is, without an event; unknown ids are ignored."""
        request = self._find(request_id)
        if request is not None:
            self._end(request)

    def drain(self) -> None:
        """Admit nothing more; what waits is told to come back later."""
        self._is_draining = True
        for request in list(self._waiting):
            self._fail(request, ShuttingDownError("the server is shutting down; send the request again in a moment"))

    def fail_all(self, error: AppError) -> None:
        """End every request with `error`."""
        for request in [*self._waiting, *self._active.values()]:
            self._fail(request, error)

    def load_draft(self, spec: ModelSpec, loaded: LoadedModel) -> None:
        """Begin to load the draft model that `loaded` is registered with, so that its first request has it."""
        self._drafts.find(spec.speculation, loaded)

    def forget_model(self, loaded: LoadedModel) -> None:
        """`loaded` is about to be freed; no request runs on it. An adapter leaves the batch of its base as it is."""
        if loaded.adapter is None and (runner := self._runners.pop(id(loaded.shared), None)) is not None:
            runner.close()

    @property
    def num_running(self) -> int:
        return len(self._active)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def kv_bytes(self) -> int:
        """Bytes reserved for the KV state of running requests, and for what they read of their prompts."""
        return sum(request.reserved_bytes for request in self._active.values())

    def _spare_bytes(self, *joining: LoadedModel) -> int:
        """What weights and running requests leave for cached state and for further requests, such as one for `joining`."""
        running = [request.loaded for request in self._active.values() if request.loaded is not None]
        return self._memory_limit_bytes - self._manager.weight_bytes - self.kv_bytes - mixing_bytes([*running, *joining])

    @property
    def is_busy(self) -> bool:
        """Whether the next turn has something to compute; requests that wait for files or weights are not work."""
        return any(request.phase in {Phase.PREFILLING, Phase.DECODING} for request in self._active.values())

    def turn(self) -> None:
        """Do one turn."""
        self.totals.turns += 1
        self._expire()
        for runner in list(self._runners.values()):
            self.totals.generated_tokens += self._decoder.step(runner)
        budget_tokens = self._chunk_tokens
        while budget_tokens > 0:
            self._admit()
            done_tokens = self._prefill_one(budget_tokens)
            if not done_tokens:
                break
            budget_tokens -= done_tokens

    def _expire(self) -> None:
        now = time.monotonic()
        for request in [*self._waiting, *self._active.values()]:
            if request.deadline_at is not None and now >= request.deadline_at:
                self._fail(request, DeadlineError(f"the request's deadline of {request.command.deadline_seconds} s has passed"))

    # -------------------------------------------------------------- admission

    def _admit(self) -> None:
        """Start waiting requests in order, passing over those whose weights are loading, whose grammar is being compiled or whose
        prefix is being computed."""
        for request in list(self._waiting)[:_MAX_SCANNED]:
            if not self._has_row_for(request):
                return
            loaded = self._load(request)
            if loaded is None:
                if self._manager.is_waiting_for_room(request.command.model):
                    return  # Later requests would keep the room taken.
                continue
            prefilling = [other for other in self._active.values() if other.phase is Phase.PREFILLING]
            if not may_prefill(request, prefilling, self._chunk_tokens):
                return
            request.prompt = prompt_of(request, loaded, self._chunk_tokens)
            if is_being_computed(request, prefilling, self._cache):
                continue
            if not self._reserve(request, loaded):
                if self._active:
                    return  # It waits for memory of those that run.
                continue  # It was refused.
            self._waiting.remove(request)
            self._active[request.request_id] = request
            self._manager.acquire(loaded)
            request.loaded, request.runner = loaded, self._runner(loaded)
            self._add_draft(request, loaded)
            self._look_up(request)

    def _has_row_for(self, request: Request) -> bool:
        num_rows = sum(other.command.num_choices - other.num_finished for other in self._active.values())
        return not self._active or num_rows + request.command.num_choices <= self._max_rows

    def _load(self, request: Request) -> LoadedModel | None:
        try:
            loaded = self._manager.request(request.command.model)
            if loaded is not None:
                check_token_ids(request, loaded.vocab_size)
                check_speculation(request, loaded)
                loaded = loaded if self._grammars.is_ready(request, loaded) else None
        except AppError as error:
            self._fail(request, error)
            return None
        return loaded

    def _reserve(self, request: Request, loaded: LoadedModel) -> bool:
        """Set memory aside for all tokens the request may reach; evicts cached state before it lets a request wait."""
        command = request.command
        num_tokens = len(request.tokens) + command.sampling.max_tokens
        kv_bytes = loaded.kv_bytes(num_tokens) * command.num_choices
        request.reserved_bytes = kv_bytes + reading_bytes(request, loaded.vocab_size, self._chunk_tokens)
        spare = self._spare_bytes(loaded)
        free = spare - request.reserved_bytes
        if free < 0 and not self._active:
            message = f"{num_tokens} tokens need {request.reserved_bytes:,} bytes of KV state and {max(0, spare):,} are free"
            self._fail(
                request, MemoryBudgetError(f"{message}; send a shorter prompt or a smaller max_tokens", param="max_tokens")
            )
        if free >= 0 and self._cache.memory_bytes > free:
            self._cache.shrink_memory(free)
        return free >= 0

    def _add_draft(self, request: Request, loaded: LoadedModel) -> None:
        """Let a draft model guess for `request` if it is in memory and there is room for its KV state."""
        draft = self._drafts.find(request.command.speculation, loaded)
        if draft is None:
            return
        num_bytes = draft.kv_bytes(len(request.tokens) + request.command.sampling.max_tokens)
        free = self._spare_bytes() - num_bytes
        if free < 0:
            return
        self._manager.acquire(draft)
        request.draft, request.draft_runner = draft, self._runner(draft)
        request.reserved_bytes += num_bytes
        if self._cache.memory_bytes > free:
            self._cache.shrink_memory(free)

    def _runner(self, loaded: LoadedModel) -> Runner:
        if id(loaded.shared) not in self._runners:
            self._runners[id(loaded.shared)] = Runner(loaded, max_rows=self._max_rows)
        return self._runners[id(loaded.shared)]

    # ---------------------------------------------------------------- prefill

    def _look_up(self, request: Request) -> None:
        assert request.prompt is not None
        if request.reads_prompt:
            self._begin_prefill(request, None)
            return
        asked_at = time.monotonic()
        request.match = match = self._cache.lookup(request.prompt)
        request.asked_at = time.monotonic()
        request.lookup_seconds += request.asked_at - asked_at
        if match is None or match.tier == "memory":
            self._begin_prefill(request, match.entry.state if match else None)
            return
        request.phase = Phase.RESTORING
        self._cache.read(match.entry, lambda state, reason: self._on_read(request, state, reason))

    def _on_read(self, request: Request, state: KVState | None, reason: MissReason | None) -> None:
        if request.phase is not Phase.RESTORING:
            return  # Cancelled meanwhile.
        request.restore_seconds += time.monotonic() - request.asked_at
        if state is not None:
            self._begin_prefill(request, state)
            return
        request.failed_read = reason
        self._look_up(request)

    def _begin_prefill(self, request: Request, state: KVState | None) -> None:
        assert request.runner is not None
        assert request.prompt is not None
        command = request.command
        report = CacheReport(outcome="off", miss_reason="not_asked")
        if not request.reads_prompt:
            report = self._cache.report(request.prompt, request.match, request.failed_read, is_counted=not command.is_warmup)
        request.position = report.cached_tokens
        if request.match is not None:
            inherited = (cut for cut in request.match.entry.cuts if cut < request.position)
            request.cuts = [*inherited, request.position]
        request.caches = request.runner.start(state, report.cached_tokens)
        request.phase = Phase.PREFILLING
        self.totals.prompt_tokens += len(request.tokens)
        self.totals.cached_prompt_tokens += report.cached_tokens
        request.started_at = time.monotonic()
        self._emit(request.started(report))

    def _prefill_one(self, budget_tokens: int) -> int:
        """One chunk of one prompt: the one with least to do, or on every other turn the oldest, so that none starves.

        Returns the number of tokens processed; 0 if there is none to prefill, or if this turn has begun and the chunk would
        exceed what is left of it.
        """
        prefilling = [request for request in self._active.values() if request.phase is Phase.PREFILLING]
        if not prefilling:
            return 0
        by_size = min(prefilling, key=lambda request: request.remaining_tokens)
        request = prefilling[0] if self.totals.turns % 2 else by_size
        cut = request.next_cut()
        num_tokens = cut - request.position if cut is not None else request.remaining_tokens
        if budget_tokens < min(num_tokens, self._chunk_tokens):
            return 0
        try:
            self._prefill_to(request, cut)
        except AppError as error:
            self._fail(request, error)
        except (RuntimeError, ValueError, MemoryError) as error:
            log.exception("prefill_failed", request_id=request.log_id)
            self._fail(request, GenerationError(f"the prompt could not be processed: {error}"))
        return num_tokens

    def _prefill_to(self, request: Request, cut: int | None) -> None:
        if cut is not None:
            self._tell(read_to(request, cut))
            self.totals.prefilled_tokens += cut - request.position
            request.position = cut
            request.cuts.append(cut)
            self._emit(Progress(request_id=request.request_id, done_tokens=cut, total_tokens=len(request.tokens)))
            self._keeper.keep_boundary(request)
        if request.next_cut() is None:
            self._end_prefill(request)

    def _end_prefill(self, request: Request) -> None:
        command = request.command
        self._keeper.keep_prefilled(request)
        if command.pooling is not None:
            self._tell(embedding_events(request))
            self._end(request)
        elif command.is_warmup or command.sampling.max_tokens == 0:
            reason: FinishReason = "stop" if command.is_warmup else "length"
            choices = range(command.num_choices)
            request_id = request.request_id
            self._tell([Finished(request_id=request_id, choice=choice, reason=reason, completion_tokens=0) for choice in choices])
            self._end(request)
        else:
            self._begin_decoding(request)

    def _begin_decoding(self, request: Request) -> None:
        self.totals.prefilled_tokens += request.remaining_tokens
        request.cuts.append(len(request.tokens))  # From here on tokens come one by one, cut as no prefill cuts them.
        request.phase = Phase.DECODING
        request.decoding_at = time.monotonic()
        is_alone = not self._waiting and all(other.phase is not Phase.PREFILLING for other in self._active.values())
        self._decoder.join(request, is_alone=is_alone)
        request.caches = []
        self.totals.generated_tokens += sum(len(sequence.token_ids) for sequence in request.sequences)

    # -------------------------------------------------------------------- end

    def _finish_choice(self, sequence: Sequence, caches: list[object], num_generated: int) -> None:
        """A row ended; `caches` hold `num_generated` of its tokens."""
        request = sequence.request
        request.num_finished += 1
        self._keeper.keep_conversation(sequence, caches, num_generated)
        if request.num_finished == request.command.num_choices:
            self._end(request)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._emit(event)

    def _fail(self, request: Request, error: AppError) -> None:
        self._end(request)
        self._emit(Failed(request_id=request.request_id, code=error.code, message=error.message))

    def _end(self, request: Request) -> None:
        """Take a request out of whatever phase it is in."""
        if request in self._waiting:
            self._waiting.remove(request)
        if self._active.pop(request.request_id, None) is not None and request.loaded is not None:
            self._decoder.leave(request)
            self._manager.release(request.loaded)
            if request.draft is not None:
                self._manager.release(request.draft)
        request.phase = Phase.DONE
        request.caches = []

    def _find(self, request_id: str) -> Request | None:
        waiting = (request for request in self._waiting if request.request_id == request_id)
        return self._active.get(request_id) or next(waiting, None)
