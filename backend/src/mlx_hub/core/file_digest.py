"""The sha256 of a large file, computed where it disturbs nobody."""

import hashlib
from pathlib import Path

import msgspec


class FileDigest(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    num_bytes: int


def digest_file(path: str) -> FileDigest:
    """Raises OSError."""
    with Path(path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(sha256=sha256, num_bytes=file.tell())
