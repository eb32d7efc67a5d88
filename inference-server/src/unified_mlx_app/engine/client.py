"""The API process's side of the engine: requests as async generators of events, commands as awaitable calls.

Event loop thread only.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal

from unified_mlx_app.config import Settings
from unified_mlx_app.engine.in_flight import GenerationEvent, InFlight, RunningRequest
from unified_mlx_app.engine.messages import (
    Cancel,
    Chunk,
    ClearCache,
    Command,
    DeleteCacheEntry,
    Embedded,
    Event,
    Failed,
    Finished,
    Generate,
    GetCacheStats,
    Heartbeat,
    ListCacheEntries,
    LoadModel,
    Progress,
    PromptLogprobs,
    Ready,
    ReplaceModel,
    Reply,
    Started,
    UnloadModel,
)
from unified_mlx_app.engine.request_spans import Operation, RequestSpans
from unified_mlx_app.engine.supervisor import EngineSupervisor
from unified_mlx_app.errors import (
    AppError,
    EngineDownError,
    QueueFullError,
    RequestCancelledError,
    ShuttingDownError,
    error_for,
)
from unified_mlx_app.types import CacheEntryInfo, CacheStats, EngineStats, ModelSpec, ResidentModel

EngineState = Literal["starting", "ready", "down", "stopped"]

_READY_WAIT_SECONDS = 30.0
"""How long a request waits for an engine that is starting; importing MLX takes seconds."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """`state` "down" means the breaker is open; `stats` are the last heartbeat's, `stats_at` its time in monotonic seconds."""

    state: EngineState
    pid: int | None
    device: str | None
    restarts: int
    heartbeat_age_seconds: float
    num_in_flight: int
    stats: EngineStats | None
    stats_at: float


class EngineClient:
    """Bounded: beyond the batch and the queue, requests are refused before anything is sent."""

    def __init__(self, settings: Settings) -> None:
        self._max_in_flight = settings.max_batch_size + settings.max_queue
        self._supervisor = EngineSupervisor(settings, self._on_events, self._on_down)
        self._requests: dict[str, InFlight] = {}
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._ready = asyncio.Event()
        self._settled = asyncio.Event()
        """Ready, or known not to become ready soon."""
        self._pid: int | None = None
        self._device: str | None = None
        self._stats: EngineStats | None = None
        self._stats_at = 0.0
        self._is_stopped = False

    async def start(self) -> None:
        """Start the engine process; `status` tells when it is ready."""
        await self._supervisor.start()

    def cut(self, end_at: float) -> None:
        """Refuse new requests, end running ones with ShuttingDownError at once, and tell the engine to be gone by `end_at`.

        Moments are in monotonic seconds.
        """
        self._is_stopped = True
        self._fail_all(ShuttingDownError("the server shut down before the answer was complete"))
        self._settled.set()
        self._supervisor.begin_stop(0, end_at=end_at)

    async def stop(self, drain_seconds: float, *, end_at: Callable[[], float]) -> None:
        """Refuse new requests, let running ones finish for at most `drain_seconds`, and end the engine by `end_at`.

        Until then it lands its writes. `end_at` is asked all the time: it may come nearer.
        """
        self._is_stopped = True
        await self._supervisor.stop(drain_seconds, end_at=end_at)

    @property
    def status(self) -> EngineStatus:
        if self._is_stopped:
            state: EngineState = "stopped"
        elif self._ready.is_set():
            state = "ready"
        else:
            state = "down" if self._supervisor.is_breaker_open else "starting"
        return EngineStatus(
            state=state,
            pid=self._pid,
            device=self._device,
            restarts=self._supervisor.restarts,
            heartbeat_age_seconds=self._supervisor.silent_seconds,
            num_in_flight=len(self._requests),
            stats=self._stats,
            stats_at=self._stats_at,
        )

    def running_requests(self) -> list[RunningRequest]:
        """Those that run or wait here, the oldest first."""
        return [request.describe() for request in self._requests.values()]

    async def generate(
        self, command: Generate, *, operation: Operation = "text_completion"
    ) -> AsyncGenerator[GenerationEvent, None]:
        """Run a request; ends after its last choice. Closing the generator cancels the request in the engine.

        Its `client_id` is what `cancel` may name it by. `operation` is what its span calls it.
        Raises QueueFullError before anything is sent, and the AppError that ended the request otherwise.
        """
        if len(self._requests) >= self._max_in_flight:
            raise QueueFullError(
                "too many requests are waiting; try again shortly", retry_after_seconds=self._retry_after_seconds()
            )
        request = self._requests[command.request_id] = InFlight(command)
        spans = RequestSpans(command, operation)
        events = request.events
        num_open = command.num_choices
        is_sent = False
        try:
            await self._wait_until_ready()
            while not events.empty():
                # An engine that died while this waited for it is not this request's business.
                if isinstance(event := events.get_nowait(), RequestCancelledError):
                    raise event
            self._supervisor.post(command)
            is_sent = True
            while num_open:
                event = await events.get()
                if isinstance(event, AppError):
                    num_open = 0
                    raise event
                spans.see(event)
                num_open -= isinstance(event, Finished)
                yield event
        except AppError as error:
            spans.fail(error.code)
            raise
        finally:
            spans.end()
            del self._requests[command.request_id]
            if is_sent and num_open:
                self._supervisor.post(Cancel(request_id=command.request_id))

    def cancel(self, client_id: str, *, owner: str | None = None) -> int:
        """End what runs or waits under this id with RequestCancelledError. Returns how many requests of the engine that were.

        Clients choose their ids, so with an `owner` what others sent is left alone.
        """
        commands = [request.command for request in self._requests.values() if request.command.client_id == client_id]
        matching = [command.request_id for command in commands if owner is None or command.owner == owner]
        for request_id in matching:
            self._supervisor.post(Cancel(request_id=request_id))
            self._put(request_id, RequestCancelledError("the request was cancelled by its id"))
        return len(matching)

    async def load_model(self, spec: ModelSpec, *, pin: bool | None = None) -> ResidentModel:
        """Bring a model into memory; True pins it there, False unpins it. Raises ModelLoadError."""
        reply = await self._call(LoadModel(command_id=_new_id(), model=spec, pin=pin))
        assert reply.model is not None
        return reply.model

    async def unload_model(self, name: str) -> None:
        """Free a model. Raises ModelNotFoundError if it is not loaded, ConflictError while it is in use."""
        await self._call(UnloadModel(command_id=_new_id(), name=name))

    def replace_model(self, spec: ModelSpec) -> None:
        """Tell that `spec.name` stands for `spec` from now on. An engine that is down holds nothing to replace."""
        if self._ready.is_set() and not self._is_stopped:
            self._supervisor.post(ReplaceModel(model=spec))

    async def cache_entries(self) -> list[CacheEntryInfo]:
        return (await self._call(ListCacheEntries(command_id=_new_id()))).entries or []

    async def cache_stats(self) -> CacheStats:
        stats = (await self._call(GetCacheStats(command_id=_new_id()))).stats
        assert stats is not None
        return stats

    async def clear_cache(self) -> int:
        """Remove all entries, in memory and on disk. Returns how many there were."""
        return (await self._call(ClearCache(command_id=_new_id()))).num_removed or 0

    async def delete_cache_entry(self, key: str) -> int:
        """Remove one entry and those that continue it. Returns how many went; 0 for an unknown key."""
        return (await self._call(DeleteCacheEntry(command_id=_new_id(), cache_key=key))).num_removed or 0

    async def _call(self, command: Command) -> Reply:
        """Send a command that has a `command_id` and wait for its reply, as long as the engine lives."""
        await self._wait_until_ready()
        command_id: str = command.command_id  # pyright: ignore[reportAttributeAccessIssue]
        future = self._replies[command_id] = asyncio.get_running_loop().create_future()
        try:
            self._supervisor.post(command)
            reply = await future
        finally:
            del self._replies[command_id]
        if reply.error_code is not None:
            raise error_for(reply.error_code, reply.error_message)
        return reply

    async def _wait_until_ready(self) -> None:
        self._refuse_if_stopped()
        try:
            await asyncio.wait_for(self._settled.wait(), _READY_WAIT_SECONDS)
        except TimeoutError:
            raise EngineDownError("the engine is still starting; try again shortly", retry_after_seconds=5) from None
        self._refuse_if_stopped()
        if not self._ready.is_set():
            raise EngineDownError("the engine failed repeatedly and rests for a minute", retry_after_seconds=60)

    def _refuse_if_stopped(self) -> None:
        if self._is_stopped:
            raise ShuttingDownError("the server is shutting down; send the request again in a moment", retry_after_seconds=2)

    def _on_events(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Started() | Progress() | PromptLogprobs() | Embedded() | Chunk() | Finished():
                    self._put(event.request_id, event)
                case Failed(request_id=request_id, code=code, message=message):
                    self._put(request_id, error_for(code, message))
                case Heartbeat(stats=stats):
                    self._stats, self._stats_at = stats, time.monotonic()
                case Reply(command_id=command_id):
                    future = self._replies.get(command_id)
                    if future is not None and not future.done():
                        future.set_result(event)
                case Ready(pid=pid, device=device):
                    self._pid, self._device = pid, device
                    self._ready.set()
                    self._settled.set()

    def _put(self, request_id: str, event: GenerationEvent | AppError) -> None:
        if (request := self._requests.get(request_id)) is not None:
            request.put(event)

    def _on_down(self, reason: str) -> None:
        """Every request in flight ends with an error now; its client may send it again."""
        self._ready.clear()
        self._settled.clear()
        if self._supervisor.is_breaker_open:
            self._settled.set()
        self._pid = None
        self._fail_all(EngineDownError(f"{reason}; it is being restarted, send the request again", retry_after_seconds=3))

    def _fail_all(self, error: AppError) -> None:
        for request_id in self._requests:
            self._put(request_id, error)
        for future in self._replies.values():
            if not future.done():
                future.set_exception(error)

    def _retry_after_seconds(self) -> int:
        """A guess that grows with the queue: a full batch is taken to last a second or two."""
        return max(1, min(30, len(self._requests) // 64))


def _new_id() -> str:
    return uuid.uuid4().hex
