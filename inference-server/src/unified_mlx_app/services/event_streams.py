"""Streams of engine events between the engine's client and the wire APIs.

All are used on the event loop only. They are classes because closing an async generator that never
ran skips its `finally`, and then nobody would cancel the request in the engine.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from unified_mlx_app.engine.client import GenerationEvent
from unified_mlx_app.engine.messages import Chunk, Finished, Generate, PromptLogprobs
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.changed_texts import Explanation
from unified_mlx_app.types import CacheReport, TokenLogprob

EngineEvents = AsyncGenerator[GenerationEvent, None]
_MERGE_BUFFER_EVENTS = 64


class AnswerEvents(Protocol):
    """Chunks of an answer, ending with a Finished for each choice; `aclose` stops the work behind it."""

    def __aiter__(self) -> "AnswerEvents": ...

    async def __anext__(self) -> Chunk | Finished: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Running:
    """One prompt that left the queue, or was found in the response cache."""

    cache: CacheReport
    explanation: Explanation
    events: AnswerEvents
    is_replayed: bool = False


class ReplayedEvents:
    """An answer from the response cache."""

    def __init__(self, events: tuple[Chunk | Finished, ...]) -> None:
        self._events = iter(events)

    def __aiter__(self) -> "ReplayedEvents":
        return self

    async def __anext__(self) -> Chunk | Finished:
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        return None


@dataclass(slots=True)
class GuessCount:
    """Tokens guessed ahead, by whether the answer has them; complete once the events ended."""

    accepted: int = 0
    rejected: int = 0


class MeasuredEvents:
    """Passes the events of one request on, and counts tokens and times them for the metrics.

    `on_complete` gets all events once the last choice ended; None keeps none. `prompt_logprobs` is filled before the first.
    """

    def __init__(
        self,
        command: Generate,
        events: EngineEvents,
        *,
        metrics: Metrics,
        cache: CacheReport,
        arrived_at: float,
        prompt_logprobs: list[TokenLogprob],
        guesses: GuessCount,
        on_complete: Callable[[list[Chunk | Finished]], None] | None,
    ) -> None:
        self._events = events
        self._metrics = metrics
        self._model = command.model.name
        self._gaps = metrics.gap_seconds.labels(self._model)
        self._cache = cache
        self._on_complete = on_complete
        self._prompt_logprobs = prompt_logprobs
        self._guesses = guesses
        self._kept: list[Chunk | Finished] = []
        self._arrived_at = arrived_at
        self._first_at = 0.0
        self._last_at = 0.0
        self._num_tokens = 0
        self._num_open = command.num_choices
        self._is_closed = False

    def __aiter__(self) -> "MeasuredEvents":
        return self

    async def __anext__(self) -> Chunk | Finished:
        while True:
            event = await self._events.__anext__()
            if isinstance(event, Chunk):
                self._record_chunk(event)
            elif isinstance(event, Finished):
                self._num_open -= 1
                self._record_guesses(event)
            else:
                if isinstance(event, PromptLogprobs):
                    self._prompt_logprobs += event.logprobs
                continue
            if self._on_complete is not None:
                self._kept.append(event)
                if self._num_open == 0:
                    self._on_complete(self._kept)
            return event

    def _record_guesses(self, finished: Finished) -> None:
        accepted, rejected = finished.num_guessed_right, finished.num_guessed - finished.num_guessed_right
        self._guesses.accepted += accepted
        self._guesses.rejected += rejected
        self._metrics.guessed_tokens.labels(self._model, "accepted").inc(accepted)
        self._metrics.guessed_tokens.labels(self._model, "rejected").inc(rejected)

    def _record_chunk(self, chunk: Chunk) -> None:
        now = time.perf_counter()
        if self._num_tokens == 0:
            self._first_at = now
            self._metrics.record_first_token(self._model, self._cache, now - self._arrived_at)
        else:
            self._gaps.observe(now - self._last_at)
        self._last_at = now
        self._num_tokens += len(chunk.token_ids)

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._events.aclose()
        self._metrics.generated_tokens.labels(self._model).inc(self._num_tokens)
        if self._num_tokens > 1 and self._last_at > self._first_at:
            speed = (self._num_tokens - 1) / (self._last_at - self._first_at)
            self._metrics.tokens_per_second.labels(self._model).observe(speed)
        if self._num_open > 0:
            self._metrics.cancelled.labels(self._model).inc()


class MergedEvents:
    """Several prompts as one answer: choice `i` of prompt `p` becomes `p * num_choices + i`."""

    def __init__(self, starts: Sequence[Callable[[], Awaitable[Running]]], num_choices: int) -> None:
        self._starts = starts
        self._num_choices = num_choices
        self._queue: asyncio.Queue[Running | Chunk | Finished | BaseException | None] = asyncio.Queue(_MERGE_BUFFER_EVENTS)
        self._tasks: list[asyncio.Task[None]] = []
        self._num_open = len(starts)
        self.cached_tokens = 0

    async def start(self) -> Running:
        """Starts all prompts; returns when the first of them left the queue. Raises what any fails with before."""
        self._tasks = [asyncio.create_task(self._pump(index, start)) for index, start in enumerate(self._starts)]
        try:
            first = await self._queue.get()
            if isinstance(first, BaseException):
                raise first
        except BaseException:
            await self.aclose()
            raise
        assert isinstance(first, Running)
        return Running(first.cache, first.explanation, self, first.is_replayed)

    async def _pump(self, index: int, start: Callable[[], Awaitable[Running]]) -> None:
        try:
            running = await start()
        except Exception as error:
            await self._queue.put(error)
            return
        try:
            self.cached_tokens += running.cache.cached_tokens
            await self._queue.put(running)
            async for event in running.events:
                choice = index * self._num_choices + event.choice
                await self._queue.put(msgspec.structs.replace(event, choice=choice))
            await self._queue.put(None)
        except Exception as error:
            await self._queue.put(error)
        finally:
            await running.events.aclose()

    def __aiter__(self) -> "MergedEvents":
        return self

    async def __anext__(self) -> Chunk | Finished:
        while self._num_open > 0:
            item = await self._queue.get()
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Chunk | Finished):
                return item
            if item is None:
                self._num_open -= 1
        raise StopAsyncIteration

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
