"""A request that the engine has and its client still waits for. Event loop thread only."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from unified_mlx_app.engine.messages import Chunk, Embedded, Finished, Generate, Progress, PromptLogprobs, Started
from unified_mlx_app.errors import AppError

GenerationEvent = Started | Progress | PromptLogprobs | Embedded | Chunk | Finished
RequestPhase = Literal["queued", "prefill", "decode"]


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """How far a request is, without a word of its prompt or its answer.

    `id` is the one that its client knows; several prompts of one call share it. None for what no client can name.
    """

    id: str | None
    model: str
    phase: RequestPhase
    prompt_tokens: int
    cached_tokens: int | None
    prefilled_tokens: int | None
    """Of the prompt, those from the cache included."""
    generated_tokens: int
    age_seconds: float
    is_warmup: bool


@dataclass(slots=True)
class InFlight:
    """`events` are read by the request's generator."""

    command: Generate
    events: asyncio.Queue[GenerationEvent | AppError] = field(default_factory=asyncio.Queue[GenerationEvent | AppError])
    _arrived_at: float = field(default_factory=time.monotonic)
    _phase: RequestPhase = "queued"
    _cached_tokens: int | None = None
    _prefilled_tokens: int | None = None
    _generated_tokens: int = 0

    def put(self, event: GenerationEvent | AppError) -> None:
        """Hands an event to the generator, and remembers how far the request is."""
        self.events.put_nowait(event)
        match event:
            case Started(cache=cache):
                self._phase = "prefill"
                self._cached_tokens = self._prefilled_tokens = cache.cached_tokens
            case Progress(done_tokens=done_tokens):
                self._prefilled_tokens = done_tokens
            case Chunk(token_ids=token_ids):
                self._phase = "decode"
                self._prefilled_tokens = len(self.command.prompt)
                self._generated_tokens += len(token_ids)
            case _:
                pass

    def describe(self) -> RunningRequest:
        return RunningRequest(
            id=self.command.client_id,
            model=self.command.model.name,
            phase=self._phase,
            prompt_tokens=len(self.command.prompt),
            cached_tokens=self._cached_tokens,
            prefilled_tokens=self._prefilled_tokens,
            generated_tokens=self._generated_tokens,
            age_seconds=time.monotonic() - self._arrived_at,
            is_warmup=self.command.is_warmup,
        )
