"""What the disk tier tells the engine thread about work it has done."""

from dataclasses import dataclass
from typing import Literal

from unified_mlx_app.cache.segment import LoadedSegment, SegmentInfo


@dataclass(frozen=True, slots=True)
class Written:
    """The segment is durable; `info` is what lies on disk, which another server may have written with another parent."""

    info: SegmentInfo


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """The segment is not on disk. `error` is a constant word (`paused`, `queue_full`, `no_room`, `parent_missing`, `closed`,
    `unavailable`, `unencodable`) or the name of an errno."""

    key: str
    error: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The segments `keys`, and with them all that descend from them, are no longer on disk."""

    keys: tuple[str, ...]
    reason: Literal["evicted", "corrupt", "deleted"]


@dataclass(frozen=True, slots=True)
class ReadDone:
    """The verified chain, root first."""

    ticket: int
    segments: list[LoadedSegment]


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The chain cannot be had: `bad_key` is gone, or was damaged and is quarantined."""

    ticket: int
    reason: Literal["corrupt", "missing"]
    bad_key: str


DiskEvent = Written | WriteFailed | Removed | ReadDone | ReadFailed
