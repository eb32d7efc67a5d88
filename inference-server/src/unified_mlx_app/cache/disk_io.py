"""File operations of the disk tier: durable publication, careful opening, the secret of a folder, orphans of killed writers.

Functions only; each may block on the disk, so none runs on the engine thread once the store is open.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import structlog

from unified_mlx_app.cache.segment import EncodedSegment, LoadedSegment, SegmentError, SegmentInfo, decode_head, decode_segment

log = structlog.get_logger()

_KEY_NAME = ".key"
_KEY_BYTES = 32
_SUFFIX = ".kv"
_TEMP = re.compile(r"\.[\w.-]+\.tmp")
_ORPHAN_SECONDS = 3600
# Between pieces a pending read is served; one piece takes a few milliseconds. Single calls above 2 GiB fail on macOS.
_PIECE_BYTES = 8 * 2**20
_READ_BYTES = 2**30


def segment_path(folder: Path, key: str) -> Path:
    """Where the segment `key` lies; `key` was validated by `is_key`."""
    return folder / f"{key}{_SUFFIX}"


def segment_key(name: str) -> str:
    """The stem of a segment's file name, or "" for another file; validate it with `is_key`."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else ""


def prepare_folder(folder: Path) -> bytes:
    """Make the folder usable, private (0700) if it is ours alone, and give its secret. Raises OSError if it cannot be written."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cache folder is not writable", str(folder))
    names = {entry.name for entry in os.scandir(folder)}
    # A folder that holds other people's files keeps its mode; the files made here are 0600 and signed all the same.
    if folder.stat().st_mode & 0o077 and (not names or _KEY_NAME in names):
        folder.chmod(0o700)
    return _load_mac_key(folder)


def _load_mac_key(folder: Path) -> bytes:
    """The folder's random secret, made by whichever server comes first and rewritten if a crash left it torn."""
    fd = os.open(folder / _KEY_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(OSError):  # file systems without locks: two first starts at once may cost entries
            fcntl.flock(fd, fcntl.LOCK_EX)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "the cache folder's key file is not ours", str(folder))
        if status.st_mode & 0o077:
            os.fchmod(fd, 0o600)
        key = os.read(fd, _KEY_BYTES + 1)
        if len(key) == _KEY_BYTES and any(key):
            return key
        key = secrets.token_bytes(_KEY_BYTES)
        os.lseek(fd, 0, os.SEEK_SET)
        os.ftruncate(fd, 0)
        _write_all(fd, key, _no_pause)
        sync_file(fd)
        sync_folder(folder)
        return key
    finally:
        os.close(fd)


def read_mac_key(folder: Path) -> bytes:
    """The folder's secret as it is, for whoever only reads; empty when there is none, and then no segment is genuine."""
    try:
        return (folder / _KEY_NAME).read_bytes()
    except FileNotFoundError:
        return b""


def sync_file(fd: int) -> None:
    """Bytes reach the medium or OSError; never to be retried, since a failed fsync may drop the dirty pages."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: plain fsync stops at the drive's volatile cache
    if full_sync is None:
        os.fsync(fd)
        return
    try:
        fcntl.fcntl(fd, full_sync)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Names made, changed or removed in `folder` survive power loss, or OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(folder: Path, key: str, encoded: EncodedSegment, *, stamp_ns: int, between_pieces: Callable[[], None]) -> None:
    """Store a file under its final name, whole and durable when this returns; on any exception nothing of it stays.

    `stamp_ns` becomes its mtime. `between_pieces` is called while writing and may raise to give up.
    """
    while not _publish_once(folder, key, encoded, stamp_ns, between_pieces):
        log.info("cache_temporary_file_swept")


def _publish_once(folder: Path, key: str, encoded: EncodedSegment, stamp_ns: int, between_pieces: Callable[[], None]) -> bool:
    temp = leftover = folder / f".{key}.{secrets.token_hex(8)}.tmp"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            if not _lock_temp(fd):
                return False
            for buffer in encoded.buffers:
                _write_all(fd, buffer, between_pieces)
            if os.fstat(fd).st_size != encoded.num_bytes:
                raise OSError(errno.EIO, "file is shorter than what was written", str(temp))
            os.utime(fd, ns=(stamp_ns, stamp_ns))
            sync_file(fd)
            temp.rename(segment_path(folder, key))
            leftover = segment_path(folder, key)
            sync_folder(folder)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            leftover.unlink()
        raise
    return True


def _lock_temp(fd: int) -> bool:
    """Tell `sweep_orphans` of any process that the writer lives; the lock dies with it. False: swept before it was locked."""
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX)
    return os.fstat(fd).st_nlink > 0


def _write_all(fd: int, buffer: bytes | memoryview, between_pieces: Callable[[], None]) -> None:
    view = memoryview(buffer)
    while view:
        num_written = os.write(fd, view[:_PIECE_BYTES])
        if num_written <= 0:
            raise OSError(errno.EIO, "write made no progress")
        view = view[num_written:]
        between_pieces()


def _no_pause() -> None:
    return


def sweep_orphans(folder: Path) -> int:
    """Remove temporary files whose writer is dead; where locks are unknown, those older than an hour. Returns how many."""
    num_swept = 0
    for entry in os.scandir(folder):
        if not _TEMP.fullmatch(entry.name):
            continue
        with contextlib.suppress(OSError):
            if _is_orphan(Path(entry.path)):
                Path(entry.path).unlink()
                num_swept += 1
    return num_swept


def _is_orphan(temp: Path) -> bool:
    fd = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(fd).st_mtime > _ORPHAN_SECONDS
    else:
        return True
    finally:
        os.close(fd)


def read_info(folder: Path, key: str, mac_key: bytes) -> SegmentInfo:
    """What `key` is, by everything before its payload, which is neither read nor checked. Raises OSError, SegmentError."""
    with _opened(folder, key) as (fd, status):
        info, _ = decode_head(
            lambda num_bytes: _read_exactly(fd, num_bytes),
            key=key, num_bytes=status.st_size, last_used=status.st_mtime_ns / 1e9, mac_key=mac_key,
        )  # fmt: skip
        return info


def read_segment(folder: Path, key: str, mac_key: bytes) -> LoadedSegment:
    """The verified segment `key`: every byte is read once, so what was checked is returned. Raises OSError, SegmentError."""
    with _opened(folder, key) as (fd, status):
        return decode_segment(
            lambda num_bytes: _read_exactly(fd, num_bytes),
            key=key, num_bytes=status.st_size, last_used=status.st_mtime_ns / 1e9, mac_key=mac_key,
        )  # fmt: skip


@contextlib.contextmanager
def _opened(folder: Path, key: str) -> Generator[tuple[int, os.stat_result]]:
    try:
        # Without O_NONBLOCK a named pipe under a segment's name would hang the thread.
        fd = os.open(segment_path(folder, key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise SegmentError("not_a_file") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise SegmentError("not_a_file")
        yield fd, status
    finally:
        os.close(fd)


def _read_exactly(fd: int, num_bytes: int) -> bytes:
    """The next `num_bytes`. Reading straight into one bytes object avoids a second copy of the state in the usual case."""
    pieces: list[bytes] = []
    missing = num_bytes
    while missing:
        piece = os.read(fd, min(missing, _READ_BYTES))
        if not piece:
            raise SegmentError("truncated")
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def move_to_quarantine(folder: Path, key: str, *, max_bytes: int) -> None:
    """Take a bad file out of use but keep it for a look, within `max_bytes` for all of them, oldest dropped. Raises OSError."""
    quarantine = folder / "quarantine"
    quarantine.mkdir(mode=0o700, exist_ok=True)
    segment_path(folder, key).replace(segment_path(quarantine, key))
    held = sorted(((path, path.lstat()) for path in quarantine.iterdir()), key=lambda item: item[1].st_ctime_ns)
    excess = sum(status.st_size for _, status in held) - max_bytes
    for path, status in held:
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            excess -= status.st_size


def remove_files(paths: Sequence[Path]) -> None:
    """Unlink what is still there, in order. Raises the first OSError after trying all."""
    failure: OSError | None = None
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failure = failure or error
    if failure is not None:
        raise failure
