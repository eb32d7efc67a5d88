"""Files and folders that are on the disk, whole, when they have their name; and how a disk says that it is full."""

import errno
import os
import shutil
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file `path`; a reader sees the old content or the new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    sync(part)
    part.replace(path)
    sync(path.parent)


def publish_folder(part: Path, target: Path) -> None:
    """Move the finished folder `part` to `target`, replacing it, with everything on the disk before it gets the name."""
    for file in files_in(part):
        sync(file)
    sync(part)
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    sync(target.parent)


def files_in(folder: Path) -> list[Path]:
    """Those that lie in it directly, by name."""
    return sorted(file for file in folder.iterdir() if file.is_file())


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of names and so the renames in it, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """Whether that is why a file could not be written; mlx 0.32 tells a write cut short as a RuntimeError."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, RuntimeError) and "unable to write" in str(error).lower()
