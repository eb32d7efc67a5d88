"""The one file that a backup is: a plain tar of regular files, whose last member lists the others with their SHA-256.

It appears under its name when it is whole and on the disk, and only its owner can read it.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from uuid import uuid4

from mlx_hub.core.durable_files import sync

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK_BYTES = 2**20
_MAX_MANIFEST_BYTES = 256 * 2**20

Progress = Callable[[int, int], None]
"""Is told the bytes done and the bytes in all."""


class BackupError(Exception):
    """The message says what is the matter and what to do."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Hashing:
    """Reads exactly `size` bytes of a file that may grow meanwhile, and knows their digest."""

    def __init__(self, source: _Source, size: int, on_read: Callable[[int], None]) -> None:
        self._source = source
        self._left = size
        self._on_read = on_read
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(self._left, _CHUNK_BYTES) if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._digest.update(data)
        self._on_read(len(data))
        return data


def write_archive(folder: Path, target: Path, facts: dict[str, Any], on_progress: Progress) -> dict[str, Any]:
    """Everything in `folder` as one file; the manifest is `facts` and the list of members. Replaces `target` at once."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total, done = sum(path.stat().st_size for path in files), 0

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        on_progress(done, total)

    part = target.with_name(f".{target.name}-{uuid4().hex}.part")
    members: dict[str, Any] = {}
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path in files:
                    name = path.relative_to(folder).as_posix()
                    members[name] = _add(archive, name, path, advance)
                manifest = {"format": FORMAT, **facts, "members": members}
                content = json.dumps(manifest, indent=1).encode()
                archive.addfile(_info(MANIFEST, len(content)), io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _add(archive: tarfile.TarFile, name: str, path: Path, advance: Callable[[int], None]) -> dict[str, Any]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        source = _Hashing(file, size, advance)
        archive.addfile(_info(name, size), source)  # pyright: ignore[reportArgumentType]
        return {"sha256": source.sha256, "size": size}


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def read_manifest(file: Path) -> dict[str, Any]:
    """What the backup says that it holds. Raises BackupError for a file that is none, or of a later format."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            member = archive.getmember(MANIFEST)
            content = archive.extractfile(member)
            if content is None or member.size > _MAX_MANIFEST_BYTES:
                raise BackupError(f"{file} is no backup of mlx-hub: its manifest cannot be read.")
            manifest: Any = json.loads(content.read())
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise BackupError(f"{file} is no whole backup of mlx-hub ({error}).") from error
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), dict):
        raise BackupError(f"{file} is no backup of mlx-hub: its manifest is of something else.")
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{file} was made by a later release; restore it with that one.")
    return manifest


def read_members(file: Path, manifest: dict[str, Any], folder: Path | None, on_progress: Progress) -> None:
    """Check every member against the manifest, and write it into `folder` when there is one.

    Raises BackupError for a byte that is not as it was, for a member too many or too few, and for a name that leads elsewhere.
    """
    expected: dict[str, Any] = dict(manifest["members"])
    total, done = sum(member["size"] for member in expected.values()), 0

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        on_progress(done, total)

    try:
        with tarfile.open(file, mode="r:") as archive:
            for info in archive:
                if info.name == MANIFEST:
                    continue
                facts = expected.pop(info.name, None)
                if facts is None or not info.isreg() or not _is_inside(info.name):
                    raise BackupError(f"{file} holds {info.name!r}, which its manifest does not know.")
                _check(archive, info, facts, folder, advance)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{file} is damaged ({error}): take another backup.") from error
    if expected:
        raise BackupError(f"{file} lacks {min(expected)!r}: take another backup.")


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _check(
    archive: tarfile.TarFile, info: tarfile.TarInfo, facts: dict[str, Any], folder: Path | None, advance: Callable[[int], None]
) -> None:
    content = archive.extractfile(info)
    assert content is not None
    source = _Hashing(content, info.size, advance)
    if folder is None:
        while source.read():
            pass
    else:
        target = folder / info.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while data := source.read():
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
    if (source.sha256, info.size) != (facts["sha256"], facts["size"]):
        raise BackupError(f"{info.name} in the backup is not as it was written: the file is damaged; take another backup.")
