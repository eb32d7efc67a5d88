"""Keeps one engine process alive: starts it, reads its events, notices its death at once, and starts it again.

Three deaths within a minute open a breaker: the engine is then left down for a while instead of burning the machine.
Event loop thread only.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog
import zmq
import zmq.asyncio

from unified_mlx_app.config import Settings
from unified_mlx_app.engine.messages import Command, Event, Shutdown, decode_events, encode_command

log = structlog.get_logger()

_BREAKER_DEATHS = 3
_BREAKER_WINDOW_SECONDS = 60.0
_BREAKER_OPEN_SECONDS = 60.0
_WATCHDOG_SECONDS = 600.0
"""A loop silent for so long is stuck: the longest honest silence is the first kernel compilation on CUDA, under a minute."""
_KILL_SECONDS = 1.0
"""The engine is killed so long before the process has to be gone: what else closes needs time as well."""


class EngineSupervisor:
    """`on_events` gets what the engine says, `on_down` the reason when it is gone. Neither may raise."""

    def __init__(self, settings: Settings, on_events: Callable[[list[Event]], None], on_down: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_events = on_events
        self._on_down = on_down
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._deaths: deque[float] = deque(maxlen=_BREAKER_DEATHS)
        self._is_stopping = False
        self._heard_at = time.monotonic()
        self.restarts = 0
        self.is_breaker_open = False

    @property
    def silent_seconds(self) -> float:
        """Time since the engine last said anything; it says something each second unless it is computing."""
        return time.monotonic() - self._heard_at

    async def start(self) -> None:
        """Begin; the engine's Ready event tells when it is up."""
        self._task = asyncio.create_task(self._run(), name="engine-supervisor")

    def begin_stop(self, drain_seconds: float, *, end_at: float) -> None:
        """Tell the engine to let requests run for at most `drain_seconds`, to land its writes, and to be gone by `end_at`."""
        self._is_stopping = True
        self.post(Shutdown(drain_seconds=drain_seconds, end_at=end_at - _KILL_SECONDS))

    async def stop(self, drain_seconds: float, *, end_at: Callable[[], float]) -> None:
        """Begin to stop if that has not happened, and wait for the engine's end; kill it in time for all to end by `end_at`."""
        if not self._is_stopping:
            self.begin_stop(drain_seconds, end_at=end_at())
        if self._process is not None:
            exited = asyncio.create_task(self._process.wait())
            while not exited.done() and time.monotonic() < end_at() - _KILL_SECONDS:
                await asyncio.wait({exited}, timeout=0.1)
            if not exited.done():
                log.error("engine_killed_at_shutdown")
                exited.cancel()
                self._process.kill()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._context.destroy(linger=0)

    def post(self, command: Command) -> None:
        """Send without waiting; the queue is unbounded and a dead engine's commands are dropped."""
        if self._socket is not None and not self._socket.closed:
            # With room in the queue the returned future is done already.
            self._socket.send(encode_command(command))

    async def _run(self) -> None:
        while not self._is_stopping:
            reason = await self._run_once()
            if self._is_stopping:
                self._on_down("the engine was stopped")
                return
            self.restarts += 1
            self._deaths.append(time.monotonic())
            log.error("engine_died", reason=reason, restarts=self.restarts)
            self.is_breaker_open = self._has_too_many_deaths()
            self._on_down(reason)
            if self.is_breaker_open:
                log.error("engine_breaker_open", seconds=_BREAKER_OPEN_SECONDS)
                await asyncio.sleep(_BREAKER_OPEN_SECONDS)
                self.is_breaker_open = False
                self._on_down(reason)

    def _has_too_many_deaths(self) -> bool:
        return len(self._deaths) == _BREAKER_DEATHS and self._deaths[-1] - self._deaths[0] < _BREAKER_WINDOW_SECONDS

    async def _run_once(self) -> str:
        """One engine process from start to end; returns why it ended. Each has a socket of its own, so no message outlives it."""
        folder = Path(tempfile.mkdtemp(prefix="mlx-engine-"))
        endpoint = f"ipc://{folder}/engine"
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.bind(endpoint)
        self._heard_at = time.monotonic()
        try:
            self._process = await self._spawn(endpoint)
            await self._read_until_exit(self._process, self._socket)
            return f"the engine process ended with status {self._process.returncode}"
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            self._socket.close(linger=0)
            shutil.rmtree(folder, ignore_errors=True)

    async def _spawn(self, endpoint: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "unified_mlx_app.engine.worker", endpoint, str(os.getpid())), stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):  # It died at once: noticed right below.
            process.stdin.write(self._settings.model_dump_json(by_alias=True, exclude={"api_key"}).encode())
            await process.stdin.drain()
            process.stdin.close()
        return process

    async def _read_until_exit(self, process: asyncio.subprocess.Process, socket: zmq.asyncio.Socket) -> None:
        exited = asyncio.create_task(process.wait())
        reader = asyncio.create_task(self._read(socket))
        try:
            await asyncio.wait({exited, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (exited, reader):
                task.cancel()
            await asyncio.gather(exited, reader, return_exceptions=True)
        while await socket.poll(0):  # The last words of a process that is gone.
            self._on_events(decode_events(await socket.recv()))

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        """Hand on what the engine says until it has been silent for too long."""
        with contextlib.suppress(TimeoutError):
            while True:
                data = await asyncio.wait_for(socket.recv(), _WATCHDOG_SECONDS)
                self._heard_at = time.monotonic()
                self._on_events(decode_events(data))
        log.error("engine_stuck", silent_seconds=round(self.silent_seconds))
