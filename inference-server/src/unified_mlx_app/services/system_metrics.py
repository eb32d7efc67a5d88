"""Fifteen minutes of what this machine, its accelerator and the engine did, one sample a second, in bounded memory.

Used on the event loop only. Sensors are read by threads of their own: one that hangs leaves its values unknown and holds up
nothing else.
"""

import asyncio
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unified_mlx_app.engine.client import EngineClient, EngineStatus
from unified_mlx_app.observability.accelerator import AcceleratorProbe, AcceleratorReading, AcceleratorState
from unified_mlx_app.observability.host import (
    HostProbe,
    HostReading,
    HostSize,
    ProcessProbe,
    ProcessReading,
    disk_free_bytes,
    host_size,
)
from unified_mlx_app.observability.latest import Latest
from unified_mlx_app.observability.recent import RecentValues
from unified_mlx_app.services.serving_figures import ServingFigures, ServingReading
from unified_mlx_app.types import EngineStats

EventKind = Literal["model_loaded", "model_unloaded", "engine_started", "engine_down"]

INTERVAL_SECONDS = 1.0
HISTORY_SECONDS = 900.0
_MAX_SAMPLES = int(HISTORY_SECONDS / INTERVAL_SECONDS)
_MAX_EVENTS = 500
_SIZE_SECONDS = 30.0
_UNKNOWN_SIZE = HostSize(None, None, None, None)


@dataclass(frozen=True, slots=True)
class MlxReading:
    """MLX's own counters in the engine process."""

    mlx_active_bytes: int
    mlx_cache_bytes: int
    mlx_peak_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One second; `at` is in seconds since the epoch. None is what was not known then."""

    at: float
    host: HostReading | None
    disk_free_bytes: int | None
    process: ProcessReading | None
    accelerator: AcceleratorReading | None
    mlx: MlxReading | None
    serving: ServingReading | None


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """Something to be marked on the time axis."""

    at: float
    kind: EventKind
    subject: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class SystemHistory:
    """What came after some moment, the oldest first."""

    now: float
    size: HostSize
    accelerator: AcceleratorState
    memory_limit_bytes: int | None
    samples: list[Sample]
    events: list[SystemEvent]


class SystemMetrics:
    """One a process."""

    def __init__(self, engine: EngineClient, recent_ttft: RecentValues, *, data_dir: Path) -> None:
        host, process = HostProbe(), ProcessProbe()
        self._engine = engine
        self._figures = ServingFigures(recent_ttft)
        self._accelerator = AcceleratorProbe()
        self._host = Latest("host", host.read)
        self._process = Latest("process", lambda: process.read(self._process_ids()))
        self._disk = Latest("disk", lambda: disk_free_bytes(data_dir))
        self._size = Latest("size", lambda: host_size(data_dir), interval_seconds=_SIZE_SECONDS)
        self._sensors = (self._host, self._process, self._disk, self._size, self._accelerator)
        self._task: asyncio.Task[None] | None = None
        self._samples: deque[Sample] = deque(maxlen=_MAX_SAMPLES)
        self._events: deque[SystemEvent] = deque(maxlen=_MAX_EVENTS)
        self._engine_pid: int | None = None
        self._residents: dict[tuple[str, str | None], str] = {}

    def start(self) -> None:
        """Begin to sample."""
        for sensor in self._sensors:
            sensor.start()
        self._task = asyncio.create_task(self._sample_on(), name="system-metrics")

    async def close(self) -> None:
        for sensor in self._sensors:
            sensor.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def history(self, since: float | None) -> SystemHistory:
        """What was sampled and what happened after `since` (seconds since the epoch), at most fifteen minutes ago."""
        now = time.time()
        after = max(since or 0.0, now - HISTORY_SECONDS)
        stats = self._engine.status.stats
        return SystemHistory(
            now=now,
            size=self._size.value or _UNKNOWN_SIZE,
            accelerator=self._accelerator.state,
            memory_limit_bytes=stats.memory_limit_bytes if stats else None,
            samples=[sample for sample in self._samples if sample.at > after],
            events=[event for event in self._events if event.at > after],
        )

    def _process_ids(self) -> list[int]:
        engine_pid = self._engine.status.pid
        return [os.getpid(), *([engine_pid] if engine_pid is not None else [])]

    async def _sample_on(self) -> None:
        while True:
            status = self._engine.status
            self._note_changes(status)
            self._samples.append(self._sample(status))
            await asyncio.sleep(INTERVAL_SECONDS - time.time() % INTERVAL_SECONDS)

    def _sample(self, status: EngineStatus) -> Sample:
        serving = self._figures.read(status)
        return Sample(
            at=time.time(),
            host=self._host.value,
            disk_free_bytes=self._disk.value,
            process=self._process.value,
            accelerator=self._accelerator.reading,
            mlx=_mlx_reading(status.stats) if serving is not None and status.stats is not None else None,
            serving=serving,
        )

    def _note_changes(self, status: EngineStatus) -> None:
        """Events are told by what differs from a second ago."""
        if status.pid != self._engine_pid:
            if status.pid is None:
                self._note("engine_down", "engine", status.state)
                self._forget_residents()
            else:
                self._note("engine_started", "engine", status.device)
            self._engine_pid = status.pid
        if status.pid is None or status.stats is None or status.stats.pid != status.pid:
            return  # The heartbeat is of an engine that is gone.
        now = {(model.path, model.adapter_path): model.name for model in status.stats.resident}
        for place in self._residents.keys() - now.keys():
            self._note("model_unloaded", self._residents[place], None)
        for place in now.keys() - self._residents.keys():
            self._note("model_loaded", now[place], None)
        self._residents = now

    def _forget_residents(self) -> None:
        for name in self._residents.values():
            self._note("model_unloaded", name, "the engine went down")
        self._residents = {}

    def _note(self, kind: EventKind, subject: str, detail: str | None) -> None:
        self._events.append(SystemEvent(time.time(), kind, subject, detail))


def _mlx_reading(stats: EngineStats) -> MlxReading:
    return MlxReading(stats.active_memory_bytes, stats.cache_memory_bytes, stats.peak_memory_bytes)
