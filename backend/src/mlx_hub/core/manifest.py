"""The list of an exported folder's files with their sizes and sha256, as `manifest.json` in the folder. Needs no MLX."""

import hashlib
from pathlib import Path

import msgspec

from mlx_hub.core.run_config import TrainingError

MANIFEST_FILE = "manifest.json"


class FileFacts(msgspec.Struct, frozen=True):
    num_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All files of the folder but the manifest itself, by name."""

    files: dict[str, FileFacts]

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files.values())

    @property
    def sha256(self) -> str:
        """Of the whole content: equal files give an equal digest, whoever wrote them."""
        lines = "".join(f"{facts.sha256}  {name}\n" for name, facts in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def write_manifest(folder: Path) -> Manifest:
    """Write the manifest of the files that are in `folder` now."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != MANIFEST_FILE)
    manifest = Manifest({file.name: _facts(file) for file in files})
    save_manifest(folder, manifest)
    return manifest


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest of files whose sizes and digests are known already."""
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Raises TrainingError `bad_export` when the folder or its manifest is not there or broken."""
    try:
        return msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise TrainingError("bad_export", f"The folder {folder} has no readable {MANIFEST_FILE}: {error}") from error


def _facts(file: Path) -> FileFacts:
    with file.open("rb") as opened:
        return FileFacts(file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())
