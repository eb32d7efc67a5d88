"""A folder on this machine with a model in it: which of its files may be copied, or why it cannot be imported.

As of a download only data is taken: no code, no pickles, no folders. A link may lead to a file of the folder, or of the same
entry of a hub's cache, whose snapshots are links. One that leads elsewhere would give out a file that nobody meant to share.
"""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlx_hub.core.manifest import MANIFEST_FILE
from mlx_hub.errors import InvalidInputError, UpstreamError
from mlx_hub.services.download_plan import check_names, is_allowed
from mlx_hub.services.model_check import check_config

FIELD = "path"
_SNAPSHOTS, _BLOBS = "snapshots", "blobs"


@dataclass(frozen=True, slots=True)
class FolderFile:
    """`path` is where the bytes lie, which is no link."""

    name: str
    path: Path
    num_bytes: int


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files in the order in which they are copied: small ones, which can refuse the rest, first."""

    path: Path
    files: tuple[FolderFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)

    @property
    def name(self) -> str:
        """What people call the model, as far as the folder tells."""
        return self.path.parents[1].name.rpartition("--")[2] if self.path.parent.name == _SNAPSHOTS else self.path.name


def read_model_folder(text: str) -> ModelFolder:
    """Raises InvalidInputError, for the field `path`, for what is no folder with a model that MLX can load. Blocks."""
    path = Path(text)
    if not path.is_absolute():
        raise refused("Write the whole path, from / on, of a folder on the server's machine.")
    with _reading(path):
        folder = path.resolve(strict=True)
        roots = (folder, *([folder.parents[1] / _BLOBS] if folder.parent.name == _SNAPSHOTS else []))
        entries = [entry for entry in folder.iterdir() if is_allowed(entry.name) and entry.name != MANIFEST_FILE]
        files = [file for entry in entries if (file := _regular_file(entry, roots))]
    with telling_of_folder():
        check_names([file.name for file in files])
        check_config(folder)
    return ModelFolder(folder, tuple(sorted(files, key=lambda file: (file.name.endswith(".safetensors"), file.name))))


def _regular_file(entry: Path, roots: tuple[Path, ...]) -> FolderFile | None:
    """None for a folder."""
    with _reading(entry):
        real = entry.resolve(strict=True)
        facts = real.stat()
    if stat.S_ISDIR(facts.st_mode):
        return None
    if not stat.S_ISREG(facts.st_mode):
        raise refused(f"{entry} is not a regular file.")
    if not any(real.is_relative_to(root) for root in roots):
        raise refused(f"{entry} is a link to a file outside of the folder: put the file itself there.")
    if not os.access(real, os.R_OK):
        raise refused(f"The server may not read {entry}.")
    return FolderFile(entry.name, real, facts.st_size)


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise refused(f"There is no {error.filename or path} on the server's machine.") from error
    except (OSError, RuntimeError) as error:
        # Before Python 3.13 a loop of links is a RuntimeError.
        raise refused(f"The server cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error


@contextmanager
def telling_of_folder() -> Generator[None]:
    """What a check of a download says is wrong is, inside the block, wrong with the folder."""
    try:
        yield
    except UpstreamError as error:
        raise refused(error.message) from error


def refused(message: str) -> InvalidInputError:
    return InvalidInputError(message, field=FIELD)
