"""Where datasets lie in the data folder, complete ones and those on their way in or out.

A dataset is three files: its rows, the index of its rows, and its first problems. While they come or go, a locked staging
folder of the same id exists, so whatever a crash leaves behind is found by the next start.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from mlx_hub.core.durable_files import is_disk_full, sync
from mlx_hub.errors import StorageFullError

DISK_MARGIN_BYTES = 512 * 2**20
"""Left free on the disk for everybody else."""
ROWS, INDEX, PROBLEMS = "jsonl", "index", "problems"
_REMOVE_ATTEMPTS = 50
_REMOVE_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """All methods block on the disk, except those that only name a path. Several processes may use one folder."""

    root: Path

    @classmethod
    def of(cls, data_dir: Path) -> "DatasetFolder":
        return cls(data_dir / "datasets")

    @property
    def cache(self) -> Path:
        """Results that can be computed again."""
        return self.root / ".cache"

    @property
    def _staging(self) -> Path:
        return self.root / ".staging"

    def file(self, dataset_id: UUID, kind: str = ROWS) -> Path:
        return self.root / f"{dataset_id}.{kind}"

    def staged(self, dataset_id: UUID, kind: str) -> Path:
        return self._staging / str(dataset_id) / kind

    def open_staging(self, dataset_id: UUID) -> int:
        """Makes the staging folder; a lock that is to be given back by `close_staging` keeps other processes' sweeps away."""
        return _make_locked(self._staging / str(dataset_id))

    def close_staging(self, dataset_id: UUID, lock: int) -> None:
        self.remove_staging(dataset_id)
        os.close(lock)

    def remove_staging(self, dataset_id: UUID) -> None:
        folder = self._staging / str(dataset_id)
        # A child that is being killed may write a file while the folder goes.
        for _ in range(_REMOVE_ATTEMPTS):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
            time.sleep(_REMOVE_PAUSE_SECONDS)

    def publish(self, dataset_id: UUID) -> None:
        """Move the staged files to their place; they survive a power cut from now on."""
        for kind in (INDEX, PROBLEMS, ROWS):
            staged = self.staged(dataset_id, kind)
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            staged.rename(self.file(dataset_id, kind))
        sync(self.root)

    def remove(self, dataset_id: UUID) -> None:
        """Delete the dataset's files, those that exist."""
        for kind in (ROWS, INDEX, PROBLEMS):
            self.file(dataset_id, kind).unlink(missing_ok=True)

    @contextmanager
    def abandoned(self) -> Generator[list[UUID]]:
        """Ids of staging folders that no living process holds, nor will inside the block."""
        found: list[UUID] = []
        with ExitStack() as stack:
            for folder in self._staging.glob("*"):
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.append(UUID(folder.name))
                except (BlockingIOError, ValueError):
                    continue
            yield found

    def check_room(self, num_bytes: int) -> None:
        """Raises StorageFullError unless the disk takes so many bytes and stays usable."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free - DISK_MARGIN_BYTES
        if num_bytes > free:
            raise StorageFullError(
                f"The disk of the data folder has {max(free, 0)} bytes to spare, and {num_bytes} are needed: free some."
            )


def _make_locked(folder: Path) -> int:
    """A descriptor with a lock on the folder, which is made again when a sweep took it before it was locked."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)


@contextmanager
def telling_full_disk() -> Generator[None]:
    """Raises StorageFullError for an OSError that says so."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise StorageFullError("The disk of the data folder is full: free some space and try again.") from error
        raise
