"""The segments of one cache folder: what is there, what fits, what goes first, and what is no longer trusted.

One thread at a time: whoever calls `open`, afterwards the store's IO thread. Other servers may work on the same folder:
files never change once they have their name, so another server can only add a file, use it, or remove it.
"""

import contextlib
import errno
import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from unified_mlx_app.cache import disk_io
from unified_mlx_app.cache.disk_events import DiskEvent, Removed
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.segment import (
    ForeignVersionError,
    LoadedSegment,
    Segment,
    SegmentError,
    SegmentInfo,
    encode_segment,
    is_key,
    segment_info,
)

log = structlog.get_logger()

QUARANTINE_BYTES = 2**30
_MAX_FILES = 10_000
_MAX_QUARANTINE_SHARE = 8
# The process or the machine ran out of something; the file itself is not to blame.
_TRANSIENT_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.EACCES, errno.EPERM}


_Rank = tuple[bool, int, str]
"""Whether the file is of use, when it was used last (nanoseconds), its key: the least goes first."""


class ChainError(Exception):
    """A chain cannot be loaded because of the segment `key`."""

    def __init__(self, reason: Literal["corrupt", "missing"], key: str) -> None:
        super().__init__(reason, key)
        self.reason: Literal["corrupt", "missing"] = reason
        self.key = key


class RefusedError(Exception):
    """A segment that will not be written although the disk works: `no_room` or `parent_missing`."""


@dataclass(frozen=True, slots=True)
class _File:
    num_bytes: int
    used_ns: int


class SegmentFolder:
    """Index and rules of one folder; `emit` is told what was removed."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        clock: Callable[[], float],
        emit: Callable[[DiskEvent], None],
    ) -> None:
        self.evictions = 0
        self.quarantined = 0
        self.num_bytes = 0
        self.infos: dict[str, SegmentInfo] = {}
        self._path = path
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._emit = emit
        self._files: dict[str, _File] = {}
        self._useless: set[str] = set()
        self._mac_key = b""
        self._last_stamp_ns = 0

    def open(self) -> list[SegmentInfo]:
        """Take over what lies in the folder. Returns the segments whose whole chain is there. Raises OSError."""
        self.prepare()
        num_swept = disk_io.sweep_orphans(self._path)
        self._scan()
        whole = [info for key, info in self.infos.items() if self._is_whole(key)]
        log.info(
            "disk_cache_opened",
            num_segments=len(whole),
            num_bytes=self.num_bytes,
            num_swept=num_swept,
            num_quarantined=self.quarantined,
        )
        return whole

    def prepare(self) -> None:
        """Make sure the folder is there and writable; it may have been removed while the server ran. Raises OSError."""
        self._mac_key = disk_io.prepare_folder(self._path)

    # ------------------------------------------------------------- operations

    def write(self, segment: Segment, *, between_pieces: Callable[[], None]) -> SegmentInfo:
        """Store `segment` durably, or mark it used if its key is there. Raises OSError, ValueError, RefusedError."""
        self._scan()
        if segment.key in self.infos:
            disk_io.sync_folder(self._path)  # another server may have renamed it and not yet synced
            self.touch([segment.key])
            return self.infos[segment.key]
        if segment.parent_key is not None:
            parent = self.infos.get(segment.parent_key)
            if parent is None or not _fits(parent, segment):
                raise RefusedError("parent_missing")
        encoded = encode_segment(segment, self._mac_key)
        self._make_room(encoded.num_bytes, segment.namespace.owner, kept=set(self._ancestors(segment.parent_key)))
        stamp_ns = self._stamp_ns()
        disk_io.publish(self._path, segment.key, encoded, stamp_ns=stamp_ns, between_pieces=between_pieces)
        if segment.parent_key is not None and segment.parent_key not in self.infos:
            # A read served between two pieces found the parent damaged or gone.
            disk_io.remove_files([disk_io.segment_path(self._path, segment.key)])
            raise RefusedError("parent_missing")
        info = segment_info(segment, segment.tokens, num_bytes=encoded.num_bytes, last_used=stamp_ns / 1e9)
        self.infos[segment.key] = info
        self._useless.discard(segment.key)
        self._count(segment.key, _File(encoded.num_bytes, stamp_ns))
        return info

    def load(self, keys: Sequence[str]) -> list[LoadedSegment]:
        """The verified chain that ends with the last key, root first, all of it now used.

        Parents are those that the files name: another server may have cut the same tokens elsewhere. Raises ChainError.
        """
        chain: list[LoadedSegment] = []
        key: str | None = keys[-1]
        while key is not None:
            segment = self._load_one(key)
            child = chain[0].info if chain else None
            if child is not None and not _fits(segment.info, child):
                raise ChainError("missing", key)
            chain.insert(0, segment)
            key = segment.info.parent_key
        leaf = chain[-1].info
        tokens = np.concatenate([segment.info.tokens for segment in chain])
        if entry_key(leaf.namespace.digest, tokens) != leaf.key:
            self._quarantine(leaf.key, "chain")
            raise ChainError("corrupt", leaf.key)
        self.touch([segment.info.key for segment in chain])
        return chain

    def touch(self, keys: Iterable[str]) -> None:
        """Mark segments and what they build upon as used now; one that vanished is ignored."""
        used = dict.fromkeys(key for leaf in keys for key in self._ancestors(leaf))
        if not used:
            return
        stamp_ns = self._stamp_ns()
        for key in used:
            with contextlib.suppress(OSError):
                os.utime(disk_io.segment_path(self._path, key), ns=(stamp_ns, stamp_ns), follow_symlinks=False)

    def remove(self, keys: Iterable[str]) -> None:
        """Delete segments and all that descends from them, descendants first. Raises OSError."""
        self._scan()
        self._delete(self._subtree(keys), [])

    def clear(self) -> None:
        """Delete all segments, those in quarantine as well. Raises OSError."""
        self._scan()
        quarantine = self._path / "quarantine"
        self._delete(list(self._files), list(quarantine.iterdir()) if quarantine.is_dir() else [])

    # --------------------------------------------------------------- internal

    def _scan(self) -> None:
        """See which segment files are really there; unknown ones are read up to their payload, vanished ones forgotten."""
        files: dict[str, _File] = {}
        for entry in os.scandir(self._path):
            key = disk_io.segment_key(entry.name)
            if not is_key(key):
                continue
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if self._is_kept(key):
                    files[key] = _File(status.st_size, status.st_mtime_ns)
        self._useless.intersection_update(files)
        self._files = files
        self.num_bytes = sum(file.num_bytes for file in files.values())
        if gone := [key for key in self.infos if key not in files]:
            self._forget(self._subtree(gone), "evicted")
        self._last_stamp_ns = max([self._last_stamp_ns, *(file.used_ns for file in files.values())])

    def _is_kept(self, key: str) -> bool:
        """Learn what an unknown file is; False when it was bad and is gone from the folder."""
        if key in self.infos or key in self._useless:
            return True
        try:
            self.infos[key] = disk_io.read_info(self._path, key, self._mac_key)
        except ForeignVersionError:
            self._useless.add(key)
        except SegmentError as error:
            self._quarantine(key, error.reason)
            return key in self._useless
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("cache_segment_unreadable", key=key, error=str(error))
            self._useless.add(key)
        return True

    def _load_one(self, key: str) -> LoadedSegment:
        try:
            return disk_io.read_segment(self._path, key, self._mac_key)
        except SegmentError as error:
            self._quarantine(key, error.reason)
            raise ChainError("corrupt", key) from error
        except FileNotFoundError as error:
            self._forget(self._subtree([key]), "evicted")
            raise ChainError("missing", key) from error
        except OSError as error:
            if error.errno in _TRANSIENT_ERRNOS:
                raise ChainError("missing", key) from error
            self._quarantine(key, errno.errorcode.get(error.errno or 0, "oserror"))
            raise ChainError("corrupt", key) from error

    def _quarantine(self, key: str, reason: str) -> None:
        """Take a damaged file out of use for good; what descends from it can never be used and goes."""
        self.quarantined += 1
        log.warning("cache_segment_quarantined", key=key, reason=reason)
        max_bytes = min(QUARANTINE_BYTES, self._max_bytes // _MAX_QUARANTINE_SHARE)
        doomed = self._subtree([key])
        is_moved = False
        try:
            disk_io.move_to_quarantine(self._path, key, max_bytes=max_bytes)
            is_moved = True
            disk_io.remove_files([disk_io.segment_path(self._path, other) for other in doomed])
        except FileNotFoundError:
            is_moved = True
        except OSError as error:
            log.warning("quarantine_failed", key=key, error=str(error))
        if key in self.infos:
            self._forget(doomed, "corrupt")
        if not is_moved:
            self._useless.add(key)

    def _delete(self, keys: Sequence[str], others: Sequence[Path]) -> None:
        """Remove files for good. What could not be removed is found again by the next scan."""
        try:
            disk_io.remove_files([*(disk_io.segment_path(self._path, key) for key in keys), *others])
            disk_io.sync_folder(self._path)
        finally:
            self._forget(keys, "deleted")

    def _make_room(self, num_bytes: int, owner: str, *, kept: set[str]) -> None:
        """Evict until `num_bytes` of `owner` fit the quota and leave the disk its free floor.

        Evicts nothing if that cannot be reached, or only at the expense of owners that hold less.
        """
        status = os.statvfs(self._path)
        over_quota = self.num_bytes + num_bytes - self._max_bytes
        under_floor = self._min_free_bytes + num_bytes - status.f_bavail * status.f_frsize
        excess = max(over_quota, under_floor)
        num_over = len(self._files) + 1 - _MAX_FILES
        if excess <= 0 and num_over <= 0:
            return
        evictable_bytes = sum(file.num_bytes for key, file in self._files.items() if key not in kept)
        if over_quota > evictable_bytes:
            raise RefusedError("no_room")
        if under_floor > evictable_bytes:
            raise OSError(errno.ENOSPC, "too little free disk space", str(self._path))
        for key in self._victims(owner, num_bytes, excess, num_over, kept):
            disk_io.remove_files([disk_io.segment_path(self._path, key)])
            self.evictions += 1
            self._forget([key], "evicted")

    def _victims(self, owner: str, num_bytes: int, excess: int, num_over: int, kept: set[str]) -> list[str]:
        """What goes for `num_bytes` of `owner`, until `excess` bytes and `num_over` files are gone, in this order: useless files;
        then the least recently used of the owner that holds most, as in the memory tier; a parent always after its children.
        """
        bytes_held, files_held = Counter({owner: num_bytes}), Counter({owner: 1})
        leaves: dict[str, list[_Rank]] = {}
        num_children = Counter(info.parent_key for info in self.infos.values() if info.parent_key is not None)
        for key, file in self._files.items():
            bytes_held[self._owner(key)] += file.num_bytes
            files_held[self._owner(key)] += 1
            if not num_children[key] and key not in kept:
                leaves.setdefault(self._owner(key), []).append(self._eviction_rank(key))
        for heap in leaves.values():
            heapq.heapify(heap)
        victims: list[str] = []
        while excess > 0 or num_over > 0:
            source = _next_source(leaves, bytes_held if excess > 0 else files_held)
            if source is None:
                raise RefusedError("no_room")
            _, _, key = heapq.heappop(leaves[source])
            victims.append(key)
            excess, num_over = excess - self._files[key].num_bytes, num_over - 1
            bytes_held[source] -= self._files[key].num_bytes
            files_held[source] -= 1
            parent_key = self.infos[key].parent_key if key in self.infos else None
            if parent_key is None:
                continue
            num_children[parent_key] -= 1
            if not num_children[parent_key] and parent_key in self._files and parent_key not in kept:
                heapq.heappush(leaves.setdefault(self._owner(parent_key), []), self._eviction_rank(parent_key))
        return victims

    def _owner(self, key: str) -> str:
        """Whose a file is; one of another version, which nobody can use, is nobody's."""
        info = self.infos.get(key)
        return info.namespace.owner if info is not None else ""

    def _eviction_rank(self, key: str) -> _Rank:
        return self._is_whole(key), self._files[key].used_ns, key

    def _is_whole(self, key: str) -> bool:
        """Whether every segment that `key` builds upon is there and fits."""
        info = self.infos.get(key)
        while info is not None and info.parent_key is not None:
            parent = self.infos.get(info.parent_key)
            if parent is None or not _fits(parent, info):
                return False
            info = parent
        return info is not None

    def _ancestors(self, key: str | None) -> list[str]:
        """`key` and what it builds upon, leaf first, as far as it is known."""
        chain: list[str] = []
        while key is not None and key not in chain:
            chain.append(key)
            info = self.infos.get(key)
            key = info.parent_key if info is not None else None
        return chain

    def _subtree(self, keys: Iterable[str]) -> list[str]:
        """`keys` and all known segments that build upon them, descendants first."""
        children: dict[str, list[str]] = {}
        for info in self.infos.values():
            if info.parent_key is not None:
                children.setdefault(info.parent_key, []).append(info.key)
        found: dict[str, None] = {}
        pending = list(keys)
        while pending:
            key = pending.pop()
            found.pop(key, None)  # met again below another key: it has to come later still
            found[key] = None
            pending.extend(children.get(key, ()))
        return list(reversed(found))

    def _forget(self, keys: Sequence[str], reason: Literal["evicted", "corrupt", "deleted"]) -> None:
        for key in keys:
            self.infos.pop(key, None)
            self._useless.discard(key)
            self._count(key, None)
        if keys:
            self._emit(Removed(tuple(keys), reason))

    def _count(self, key: str, file: _File | None) -> None:
        before = self._files.pop(key, None)
        self.num_bytes -= before.num_bytes if before is not None else 0
        if file is not None:
            self._files[key] = file
            self.num_bytes += file.num_bytes

    def _stamp_ns(self) -> int:
        """The time of a use: never before an earlier use, so that a clock set back does not turn the order around."""
        self._last_stamp_ns = max(int(self._clock() * 1e9), self._last_stamp_ns + 1000)
        return self._last_stamp_ns


def _next_source(leaves: dict[str, list[_Rank]], held: Counter[str]) -> str | None:
    """The owner whose first leaf goes next: useless ones of anybody first, else of the owner that holds most.

    None when that one has nothing to give: it is about to store what would push out others that hold less.
    """
    most = max(held.values())
    first = {owner: heap[0] for owner, heap in leaves.items() if heap and (held[owner] == most or not heap[0][0])}
    return min(first, key=first.__getitem__, default=None)


def _fits(parent: SegmentInfo, child: SegmentInfo | Segment) -> bool:
    return parent.end_tokens == child.start_tokens and parent.namespace.digest == child.namespace.digest
