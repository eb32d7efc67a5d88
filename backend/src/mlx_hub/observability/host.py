"""Readings of this machine and of processes. What cannot be found out is None, never zero. Reading blocks for a moment."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psutil

_MAX_SPAN_SECONDS = 10.0
"""A share of the CPU over a longer time says nothing of now."""


@dataclass(frozen=True, slots=True)
class HostReading:
    """`cpu_percent` is of all cores together, since the reading before."""

    cpu_percent: float | None
    memory_used_bytes: int | None
    swap_used_bytes: int | None


@dataclass(frozen=True, slots=True)
class HostSize:
    """What the machine has."""

    num_cpus: int | None
    memory_total_bytes: int | None
    swap_total_bytes: int | None
    disk_total_bytes: int | None
    """Of the disk that holds the data folder."""


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """Some processes together; 100 percent is one core."""

    cpu_percent: float | None
    memory_bytes: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class _CPUTime:
    at: float
    busy_seconds: float
    total_seconds: float


class CPUShare:
    """The busy share of all cores between two looks. Used by one thread at a time."""

    def __init__(self) -> None:
        self._before: _CPUTime | None = None

    def percent(self) -> float | None:
        """None the first time, and after a long pause."""
        before, now = self._before, None
        with suppress(OSError, psutil.Error):
            now = _cpu_time()
        self._before = now
        if before is None or now is None or now.at - before.at > _MAX_SPAN_SECONDS or now.total_seconds <= before.total_seconds:
            return None
        share = (now.busy_seconds - before.busy_seconds) / (now.total_seconds - before.total_seconds)
        return round(100 * min(max(share, 0.0), 1.0), 1)


def _cpu_time() -> _CPUTime:
    times: dict[str, float] = psutil.cpu_times()._asdict()
    # Linux counts guests twice: their time is also the user's.
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    idle = times["idle"] + times.get("iowait", 0.0)
    return _CPUTime(monotonic(), total - idle, total)


class HostProbe:
    """Used by one thread at a time."""

    def __init__(self) -> None:
        self._cpu = CPUShare()

    def read(self) -> HostReading:
        memory, swap = None, None
        with suppress(OSError, psutil.Error):
            memory = psutil.virtual_memory()
        with suppress(OSError, psutil.Error, RuntimeError):
            swap = psutil.swap_memory()
        return HostReading(
            cpu_percent=self._cpu.percent(),
            memory_used_bytes=memory.total - memory.available if memory else None,
            swap_used_bytes=swap.used if swap else None,
        )


class ProcessProbe:
    """Used by one thread at a time."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, float]] = {}

    def read(self, process_ids: Iterable[int]) -> ProcessReading:
        """Those of the processes that exist, added up; the share of the CPU is since the reading before."""
        now, seen, share = monotonic(), dict[int, tuple[float, float]](), 0.0
        memory_bytes, num_threads = 0, 0
        for process_id in process_ids:
            with suppress(psutil.Error):
                process = psutil.Process(process_id)
                with process.oneshot():
                    times = process.cpu_times()
                    memory_bytes += process.memory_info().rss
                    num_threads += process.num_threads()
                seen[process_id] = (now, times.user + times.system)
        for process_id, (at, seconds) in seen.items():
            if (before := self._before.get(process_id)) is not None and at > before[0]:
                share += max(0.0, seconds - before[1]) / (at - before[0])
        cpu_percent = round(100 * share, 1) if self._before.keys() & seen.keys() else None
        self._before = seen
        return ProcessReading(cpu_percent, memory_bytes, num_threads)


def host_size(data_dir: Path) -> HostSize:
    """May hang with a network disk: call it in a thread that nobody waits for."""
    memory, swap, disk = None, None, None
    with suppress(OSError, psutil.Error):
        memory = psutil.virtual_memory().total
    with suppress(OSError, psutil.Error, RuntimeError):
        swap = psutil.swap_memory().total
    with suppress(OSError):
        disk = psutil.disk_usage(str(existing(data_dir))).total
    return HostSize(os.cpu_count(), memory, swap, disk)


def disk_free_bytes(data_dir: Path) -> int:
    """Raises OSError; may hang as `host_size`."""
    return psutil.disk_usage(str(existing(data_dir))).free


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists already: they are on one disk."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
