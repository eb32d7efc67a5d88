"""The disk tier as the engine thread sees it: queues in, events out, never a wait and never an exception."""

import errno
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from unified_mlx_app.cache.disk_events import DiskEvent, ReadDone, ReadFailed, Removed, WriteFailed, Written
from unified_mlx_app.cache.disk_folder import ChainError, RefusedError, SegmentFolder
from unified_mlx_app.cache.segment import Segment, SegmentInfo, is_key

__all__ = ["DiskEvent", "DiskStore", "ReadDone", "ReadFailed", "Removed", "WriteFailed", "Written"]

log = structlog.get_logger()

MIN_FREE_BYTES = 2 * 2**30
MAX_QUEUED_BYTES = 2**30
PAUSE_SECONDS = 30.0
_JOIN_GRACE_SECONDS = 5.0

Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Read:
    ticket: int
    keys: tuple[str, ...]


class _AbandonedError(Exception):
    """The store closes while a segment is half written."""


class DiskStore:
    """Segments on disk behind one IO thread.

    Threads: the engine thread calls every public method and property. The IO thread, started by `open`, does all file work,
    one job at a time: reads first (also between the pieces of a long write), then removals, writes, and marks of use. The
    lock guards queues and events only, never file work; `wake` is called after each event, on the thread that caused it, and must
    return at once. `SegmentFolder` belongs to the IO thread; its counters are plain ints that the engine thread may read.

    When a write fails, writing pauses for 30 s by `clock` (seconds since the epoch) and segments offered meanwhile are
    refused, so that a broken disk costs neither memory nor time; reads go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        min_free_bytes: int = MIN_FREE_BYTES,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_bytes = max_bytes
        self.is_available = False
        self.write_errors = 0
        self.dropped_writes = 0
        self._path = folder
        self._folder = SegmentFolder(
            folder, max_bytes=max_bytes, min_free_bytes=min_free_bytes, clock=clock, emit=self._emit_from_folder
        )
        self._max_queued_bytes = max_queued_bytes
        self._wake = wake
        self._clock = clock
        self._changed = threading.Condition()
        self._reads: deque[_Read] = deque()
        self._removals: deque[Job] = deque()
        self._writes: dict[str, Segment] = {}
        self._queued_bytes = 0
        self._writing: str | None = None
        self._touched: dict[str, None] = {}
        self._events: deque[DiskEvent] = deque()
        self._paused_at: float | None = None
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None

    # ---------------------------------------------------- engine thread: life

    def open(self) -> list[SegmentInfo]:
        """Index the folder (headers and tokens only, on the calling thread) and start the IO thread.

        Gives the usable segments. If the folder cannot be used, the store stays off: one warning, no exception.
        """
        try:
            infos = self._folder.open()
        except OSError as error:
            log.warning("disk_cache_unavailable", folder=str(self._path), error=str(error))
            return []
        self.is_available = True
        self._thread = threading.Thread(target=self._run, name="prompt-cache-io", daemon=True)
        self._thread.start()
        return infos

    def close(self, drain_seconds: float) -> None:
        """Finish queued removals and writes for up to `drain_seconds`, give up the rest, and stop. Events stay for `poll`."""
        self.is_available = False
        if self._thread is None:
            return
        with self._changed:
            self._deadline = time.monotonic() + drain_seconds
            self._reads.clear()
            self._changed.notify()
        self._thread.join(drain_seconds + _JOIN_GRACE_SECONDS)
        if self._thread.is_alive() or self.pending_writes:
            log.warning("disk_cache_closed_early", num_pending_writes=self.pending_writes)
        self._thread = None

    # ---------------------------------------------------- engine thread: work

    def write(self, segment: Segment) -> None:
        """Queue `segment`, parents before children; the outcome is a `Written` or a `WriteFailed`.

        Beyond the queue's bytes the oldest queued segments of the owner that has most there are dropped. A key that is queued
        already is not queued again; one that is on disk is only marked as used.
        """
        if not self.is_available:
            self._tell(WriteFailed(segment.key, "unavailable"))
            return
        dropped: list[str] = []
        with self._changed:
            if segment.key in self._writes or segment.key == self._writing:
                return
            self._writes[segment.key] = segment
            self._queued_bytes += _num_bytes(segment)
            while self._queued_bytes > self._max_queued_bytes and len(self._writes) > 1:
                dropped.append(self._unqueue(self._first_to_drop()).key)
            self._changed.notify()
        self.dropped_writes += len(dropped)
        for key in dropped:
            self._tell(WriteFailed(key, "queue_full"))

    def forget_queued(self, key: str) -> None:
        """Drop a write: one not begun never happens and gives no event, one under way is removed when it is done."""
        with self._changed:
            if key in self._writes:
                self._unqueue(key)
            elif key == self._writing:
                self._removals.append(partial(self._folder.remove, [key]))

    def read(self, ticket: int, keys: Sequence[str]) -> None:
        """Ask for the chain `keys`, root → leaf; the outcome is one `ReadDone` or `ReadFailed` with this ticket."""
        if not self.is_available or not keys or not all(is_key(key) for key in keys):
            self._tell(ReadFailed(ticket, "missing", keys[-1] if keys else ""))
            return
        with self._changed:
            self._reads.append(_Read(ticket, tuple(keys)))
            self._changed.notify()

    def delete(self, keys: Sequence[str]) -> None:
        """Remove segments and all that descends from them, queued ones too; `Removed` tells when they are gone."""
        if not self.is_available or not keys:
            return
        with self._changed:
            doomed = set(keys)
            for segment in list(self._writes.values()):
                if segment.key in doomed or segment.parent_key in doomed:
                    doomed.add(self._unqueue(segment.key).key)
            self._removals.append(partial(self._folder.remove, [key for key in keys if is_key(key)]))
            self._changed.notify()

    def clear(self) -> None:
        """Remove all segments, queued ones and those in quarantine too."""
        if not self.is_available:
            return
        with self._changed:
            self._writes.clear()
            self._queued_bytes = 0
            self._removals.append(self._folder.clear)
            self._changed.notify()

    def touch(self, key: str) -> None:
        """Mark a segment and what it builds upon as used now."""
        if not self.is_available:
            return
        with self._changed:
            self._touched[key] = None
            self._changed.notify()

    def poll(self) -> list[DiskEvent]:
        """The events since the last call, in order; never blocks on file work."""
        with self._changed:
            events = list(self._events)
            self._events.clear()
        return events

    @property
    def num_entries(self) -> int:
        return len(self._folder.infos)

    @property
    def num_bytes(self) -> int:
        return self._folder.num_bytes

    @property
    def pending_writes(self) -> int:
        return len(self._writes) + (self._writing is not None)

    @property
    def evictions(self) -> int:
        return self._folder.evictions

    @property
    def quarantined(self) -> int:
        return self._folder.quarantined

    # ---------------------------------------------------------------- queues

    def _unqueue(self, key: str) -> Segment:
        segment = self._writes.pop(key)
        self._queued_bytes -= _num_bytes(segment)
        return segment

    def _first_to_drop(self) -> str:
        held: Counter[str] = Counter()
        for segment in self._writes.values():
            held[segment.namespace.owner] += _num_bytes(segment)
        most = max(held.values())
        return next(key for key, segment in self._writes.items() if held[segment.namespace.owner] == most)

    def _tell(self, event: DiskEvent) -> None:
        with self._changed:
            self._events.append(event)
        self._wake()

    # --------------------------------------------------------------- IO thread

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                job()
            except OSError as error:
                self.write_errors += 1
                log.warning("disk_cache_removal_failed", error=str(error))
            except Exception:
                self.write_errors += 1
                log.exception("disk_cache_job_failed")

    def _next_job(self) -> Job | None:
        """The most urgent job, waiting for one; None when the store is closed and drained, or out of time."""
        with self._changed:
            while True:
                if self._is_out_of_time():
                    return None
                job = self._pick_job()
                if job is not None or self._deadline is not None:
                    return job
                self._changed.wait()

    def _pick_job(self) -> Job | None:
        if self._reads:
            return self._pick_read()
        if self._removals:
            return self._removals.popleft()
        if self._writes:
            return self._pick_write(next(iter(self._writes)))
        if self._touched:
            return self._flush_touches
        return None

    def _pick_read(self) -> Job:
        """The oldest read; what it needs and is still queued is written first, in queue order."""
        needed = set(self._reads[0].keys)
        if any(key in needed for key in self._writes):
            return self._pick_write(next(iter(self._writes)))
        return partial(self._serve, self._reads.popleft())

    def _pick_write(self, key: str) -> Job:
        segment = self._unqueue(key)
        self._writing = key
        return partial(self._write, segment)

    def _is_out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _between_pieces(self) -> None:
        """Runs while a segment is being written: whoever waits for a read waits for a first token."""
        if self._is_out_of_time():
            raise _AbandonedError
        while True:
            with self._changed:
                if not self._reads or {self._writing, *self._writes}.intersection(self._reads[0].keys):
                    return
                read = self._reads.popleft()
            self._serve(read)

    def _serve(self, read: _Read) -> None:
        try:
            self._tell(ReadDone(read.ticket, self._folder.load(read.keys)))
        except ChainError as error:
            self._tell(ReadFailed(read.ticket, error.reason, error.key))
        except Exception:
            log.exception("disk_cache_read_failed")
            self._tell(ReadFailed(read.ticket, "missing", read.keys[-1]))

    def _write(self, segment: Segment) -> None:
        outcome: DiskEvent = WriteFailed(segment.key, "unencodable")
        try:
            outcome = self._try_write(segment)
        finally:
            with self._changed:
                self._writing = None
            self._tell(outcome)

    def _try_write(self, segment: Segment) -> DiskEvent:
        try:
            if self._paused_at is not None:
                if 0 <= self._clock() - self._paused_at < PAUSE_SECONDS:
                    return WriteFailed(segment.key, "paused")
                self._folder.prepare()
            self._flush_touches()
            info = self._folder.write(segment, between_pieces=self._between_pieces)
        except RefusedError as error:
            return WriteFailed(segment.key, str(error))
        except _AbandonedError:
            return WriteFailed(segment.key, "closed")
        except OSError as error:
            return WriteFailed(segment.key, self._pause(error))
        if self._paused_at is not None:
            self._paused_at = None
            log.info("disk_cache_writes_resumed")
        return Written(info)

    def _pause(self, error: OSError) -> str:
        self.write_errors += 1
        if self._paused_at is None:
            log.warning("disk_cache_writes_paused", error=str(error), pause_seconds=PAUSE_SECONDS)
        self._paused_at = self._clock()
        return errno.errorcode.get(error.errno or 0, "EIO")

    def _flush_touches(self) -> None:
        with self._changed:
            keys, self._touched = list(self._touched), {}
        self._folder.touch([key for key in keys if is_key(key)])

    def _emit_from_folder(self, event: DiskEvent) -> None:
        if self._thread is not None:
            self._tell(event)


def _num_bytes(segment: Segment) -> int:
    return sum(memoryview(tensor.data).nbytes for tensor in segment.tensors) + segment.tokens.nbytes
