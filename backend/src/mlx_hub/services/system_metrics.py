"""Fifteen minutes of what this machine, its accelerator and the trainers did, one sample a second, in bounded memory.

Used on the event loop only. Sensors are read by threads of their own: one that hangs leaves its values unknown and holds up
nothing else.
"""

import asyncio
import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mlx_hub.db import Sessions
from mlx_hub.observability.accelerator import AcceleratorProbe, AcceleratorReading, AcceleratorState
from mlx_hub.observability.host import (
    HostProbe,
    HostReading,
    HostSize,
    ProcessProbe,
    ProcessReading,
    disk_free_bytes,
    host_size,
)
from mlx_hub.observability.latest import Latest
from mlx_hub.services.training_figures import SystemEvent, TrainingFigures, TrainingReading

INTERVAL_SECONDS = 1.0
HISTORY_SECONDS = 900.0
_MAX_SAMPLES = int(HISTORY_SECONDS / INTERVAL_SECONDS)
_MAX_EVENTS = 500
_SIZE_SECONDS = 30.0
_UNKNOWN_SIZE = HostSize(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Sample:
    """One second; `at` is in seconds since the epoch. None is what was not known then."""

    at: float
    host: HostReading | None
    disk_free_bytes: int | None
    process: ProcessReading | None
    accelerator: AcceleratorReading | None
    training: TrainingReading | None


@dataclass(frozen=True, slots=True)
class SystemHistory:
    """What came after some moment, the oldest first."""

    now: float
    size: HostSize
    accelerator: AcceleratorState
    samples: list[Sample]
    events: list[SystemEvent]


class SystemMetrics:
    """One a process."""

    def __init__(self, readers: Sessions, *, data_dir: Path) -> None:
        host, process = HostProbe(), ProcessProbe()
        self._training = TrainingFigures(readers, history=timedelta(seconds=HISTORY_SECONDS))
        self._accelerator = AcceleratorProbe()
        self._host = Latest("host", host.read)
        self._process = Latest("process", lambda: process.read([os.getpid()]))
        self._disk = Latest("disk", lambda: disk_free_bytes(data_dir))
        self._size = Latest("size", lambda: host_size(data_dir), interval_seconds=_SIZE_SECONDS)
        self._sensors = (self._host, self._process, self._disk, self._size, self._accelerator)
        self._tasks: list[asyncio.Task[None]] = []
        self._samples: deque[Sample] = deque(maxlen=_MAX_SAMPLES)
        self._events: deque[SystemEvent] = deque(maxlen=_MAX_EVENTS)

    def start(self) -> None:
        """Begin to sample."""
        for sensor in self._sensors:
            sensor.start()
        self._tasks = [asyncio.create_task(work) for work in (self._sample_on(), self._training.follow())]

    async def close(self) -> None:
        for sensor in self._sensors:
            sensor.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def history(self, since: float | None) -> SystemHistory:
        """What was sampled and what happened after `since` (seconds since the epoch), at most fifteen minutes ago."""
        now = time.time()
        after = max(since or 0.0, now - HISTORY_SECONDS)
        return SystemHistory(
            now=now,
            size=self._size.value or _UNKNOWN_SIZE,
            accelerator=self._accelerator.state,
            samples=[sample for sample in self._samples if sample.at > after],
            events=[event for event in self._events if event.at > after],
        )

    async def _sample_on(self) -> None:
        while True:
            self._events.extend(self._training.take_events())
            self._samples.append(
                Sample(
                    at=time.time(),
                    host=self._host.value,
                    disk_free_bytes=self._disk.value,
                    process=self._process.value,
                    accelerator=self._accelerator.reading,
                    training=self._training.reading,
                )
            )
            await asyncio.sleep(INTERVAL_SECONDS - time.time() % INTERVAL_SECONDS)
