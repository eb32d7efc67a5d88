"""The engine process: one thread that owns MLX, fed by commands from the API process and answering with events.

Started by the supervisor as `python -m unified_mlx_app.engine.worker SOCKET PARENT_PID` with the settings as JSON on standard
input. It ends by itself when its parent is gone.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

import structlog
import zmq

from unified_mlx_app.cache.disk import DiskStore
from unified_mlx_app.cache.prompt_cache import PromptCacheService
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.constraints import GrammarCompiler
from unified_mlx_app.engine.messages import (
    Cancel,
    ClearCache,
    Command,
    DeleteCacheEntry,
    Event,
    Generate,
    GetCacheStats,
    Heartbeat,
    ListCacheEntries,
    LoadModel,
    Ready,
    ReplaceModel,
    Reply,
    Shutdown,
    UnloadModel,
    decode_command,
    encode_events,
)
from unified_mlx_app.engine.scheduler import Scheduler
from unified_mlx_app.errors import AppError, GenerationError, ShuttingDownError
from unified_mlx_app.identity import FileDigests
from unified_mlx_app.models.manager import ModelManager
from unified_mlx_app.observability.device import (
    device_name,
    do_without_compiler,
    limit_buffer_pool,
    memory_counters,
    total_memory_bytes,
    use_one_attention_kernel,
)
from unified_mlx_app.observability.logs import configure_logs
from unified_mlx_app.types import EngineStats

log = structlog.get_logger()

_HEARTBEAT_SECONDS = 1.0
_IDLE_POLL_MS = 500
_END_SECONDS = 1.5
"""Writing stops so long before the process has to be gone: the last sync, the last words, the end of the interpreter."""
_ORPHAN_SECONDS = 10.0
"""For the writes of an engine whose parent is gone."""


class Engine:
    """Everything one engine process holds. All methods run on the main thread."""

    def __init__(self, settings: Settings, socket: zmq.Socket[bytes], *, parent_pid: int) -> None:
        self._socket = socket
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._events: list[Event] = []
        self._loads: list[LoadModel] = []
        self._drain_until: float | None = None
        self._end_at: float | None = None
        self._next_heartbeat_at = 0.0
        self._parent_pid = parent_pid
        memory_limit_bytes = settings.memory_limit or int(total_memory_bytes() * 0.75)
        self._memory_limit_bytes = memory_limit_bytes
        do_without_compiler()
        use_one_attention_kernel()
        limit_buffer_pool(memory_limit_bytes // 10)
        disk = _open_disk(settings, self._wake)
        self._cache = PromptCacheService(
            enabled=settings.prompt_cache_enabled,
            max_entries=settings.prompt_cache_max_entries,
            max_memory_bytes=settings.prompt_cache_memory or memory_limit_bytes // 3,
            disk=disk,
        )
        self._cache.open()
        self._manager = ModelManager(
            memory_limit_bytes=memory_limit_bytes,
            ttl_seconds=settings.model_ttl_seconds,
            digests=FileDigests(settings.prompt_cache_dir / "digests.json" if disk is not None else None),
            on_unload=lambda loaded: self._scheduler.forget_model(loaded),
            wake=self._wake,
        )
        self._grammars = GrammarCompiler(self._wake)
        self._scheduler = Scheduler(
            manager=self._manager,
            cache=self._cache,
            grammars=self._grammars,
            emit=self._events.append,
            max_rows=settings.max_batch_size,
            chunk_tokens=settings.prefill_chunk_tokens,
            memory_limit_bytes=memory_limit_bytes,
        )
        self._device = device_name()

    def run(self) -> None:
        """Serve until told to shut down, or until the parent process is gone."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        self._events.append(Ready(pid=os.getpid(), device=self._device))
        while not self._is_done():
            poller.poll(0 if self._scheduler.is_busy else _IDLE_POLL_MS)
            self._drain_wake_pipe()
            self._turn()
            self._beat()
            self._flush()
        self._close()

    def _turn(self) -> None:
        try:
            self._take_commands()
            self._cache.poll()
            self._continue_loads()
            self._scheduler.turn()
        except (
            Exception
        ):  # The edge of the engine loop: what got here is our own mistake, and must cost no more than its requests.
            log.exception("engine_turn_failed")
            self._scheduler.fail_all(GenerationError("the engine failed; send the request again"))

    # --------------------------------------------------------------- commands

    def _take_commands(self) -> None:
        while self._socket.poll(0):
            self._handle(decode_command(self._socket.recv(zmq.NOBLOCK)))

    def _handle(self, command: Command) -> None:
        match command:
            case Generate():
                self._scheduler.submit(command)
            case Cancel(request_id=request_id):
                self._scheduler.cancel(request_id)
            case Shutdown(drain_seconds=drain_seconds, end_at=end_at):
                self._drain_until, self._end_at = time.monotonic() + drain_seconds, end_at
                self._scheduler.drain()
            case LoadModel():
                self._loads.append(command)
            case UnloadModel(command_id=command_id, name=name):
                self._answer(command_id, lambda: self._unload(command_id, name))
            case ReplaceModel(model=model):
                self._manager.replace(model)
            case _:
                self._handle_cache(command)

    def _handle_cache(self, command: ListCacheEntries | GetCacheStats | ClearCache | DeleteCacheEntry) -> None:
        match command:
            case ListCacheEntries(command_id=command_id):
                self._events.append(Reply(command_id=command_id, entries=self._cache.entries()))
            case GetCacheStats(command_id=command_id):
                self._events.append(Reply(command_id=command_id, stats=self._cache.stats()))
            case ClearCache(command_id=command_id):
                self._events.append(Reply(command_id=command_id, num_removed=self._cache.clear()))
            case DeleteCacheEntry(command_id=command_id, cache_key=cache_key):
                self._events.append(Reply(command_id=command_id, num_removed=self._cache.delete(cache_key)))

    def _unload(self, command_id: str, name: str) -> Reply:
        self._manager.unload(name)
        return Reply(command_id=command_id)

    def _continue_loads(self) -> None:
        """Answer explicit loads whose weights have arrived."""
        for command in list(self._loads):
            self._answer(command.command_id, lambda command=command: self._loaded(command))

    def _loaded(self, command: LoadModel) -> Reply | None:
        self._loads.remove(command)
        loaded = self._manager.request(command.model)
        if loaded is None:
            self._loads.append(command)
            return None
        self._scheduler.load_draft(command.model, loaded)
        if command.pin is not None:
            self._manager.set_pinned(command.model, command.pin)
        return Reply(command_id=command.command_id, model=self._manager.resident(command.model))

    def _answer(self, command_id: str, work: Callable[[], Reply | None]) -> None:
        try:
            reply = work()
        except AppError as error:
            reply = Reply(command_id=command_id, error_code=error.code, error_message=error.message)
        if reply is not None:
            self._events.append(reply)

    # ------------------------------------------------------------- life signs

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._next_heartbeat_at:
            return
        self._next_heartbeat_at = now + _HEARTBEAT_SECONDS
        self._manager.expire()
        self._events.append(Heartbeat(stats=self._stats()))

    def _stats(self) -> EngineStats:
        memory, totals = memory_counters(), self._scheduler.totals
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            steps=totals.turns,
            prompt_tokens=totals.prompt_tokens,
            cached_prompt_tokens=totals.cached_prompt_tokens,
            generated_tokens=totals.generated_tokens,
            active_memory_bytes=memory.active_bytes,
            cache_memory_bytes=memory.cache_bytes,
            peak_memory_bytes=memory.peak_bytes,
            kv_bytes=self._scheduler.kv_bytes,
            device=self._device,
            pid=os.getpid(),
            resident=self._manager.residents(),
            cache=self._cache.stats(),
            prefilled_tokens=totals.prefilled_tokens,
            memory_limit_bytes=self._memory_limit_bytes,
            loading=self._manager.loading(),
        )

    def _flush(self) -> None:
        if self._events:
            # Sending never blocks: the socket's queue is unbounded, and what is in it is bounded by max_tokens.
            self._socket.send(encode_events(self._events), zmq.NOBLOCK)
            self._events.clear()

    def _wake(self) -> None:
        """Called by other threads to end the poll."""
        os.write(self._wake_write, b"\0")

    def _drain_wake_pipe(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            pass

    def _is_done(self) -> bool:
        if os.getppid() != self._parent_pid:
            return True
        if self._drain_until is None:
            return False
        is_idle = self._scheduler.num_running == 0
        return is_idle or time.monotonic() >= self._drain_until

    def _close(self) -> None:
        self._scheduler.fail_all(ShuttingDownError("the server shut down before the answer was complete"))
        self._flush()
        now = time.monotonic()
        end_at = self._end_at if self._end_at is not None else now + _ORPHAN_SECONDS
        self._cache.close(drain_seconds=max(0.0, end_at - _END_SECONDS - now))
        self._grammars.close()
        self._manager.close()
        self._socket.close(linger=1000)


def _open_disk(settings: Settings, wake: Callable[[], None]) -> DiskStore | None:
    if not (settings.prompt_cache_enabled and settings.prompt_cache_persist):
        return None
    return DiskStore(settings.prompt_cache_dir, max_bytes=settings.prompt_cache_disk, wake=wake)


def main() -> None:
    """Entry of the engine process."""
    # Signals often reach the whole process group; the API process decides when the engine stops.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = Settings.model_validate_json(sys.stdin.read())
    configure_logs(component="engine", level=settings.log_level, style=settings.log_format)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(sys.argv[1])
    Engine(settings, socket, parent_pid=int(sys.argv[2])).run()
    context.term()
    # A load or a compilation that a thread is at cannot be broken off, and nobody waits for what it gives.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
