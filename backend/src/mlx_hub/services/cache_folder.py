"""The folder of downloaded models on disk: where a model lies, while it is fetched and after, and the locks that protect it.

The layout is that of huggingface_hub's cache, so every tool that reads one finds the models. Names come checked.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from mlx_hub.core.durable_files import sync
from mlx_hub.errors import InUseError

_TRASH_PREFIX = "trash-"
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """All methods block on the disk, except those that only name a path. Several processes may use one folder."""

    root: Path

    def partial(self, repo_id: str, commit: str) -> Path:
        """Where the files of an unfinished download lie."""
        return self.partials / _folder_name(repo_id) / commit

    def snapshot(self, repo_id: str, commit: str) -> Path:
        """Where a model lies once it is complete; what exists there is complete."""
        return self.root / _folder_name(repo_id) / "snapshots" / commit

    @property
    def partials(self) -> Path:
        return self.root / ".partial"

    @contextmanager
    def lease(self, repo_id: str, commit: str) -> Generator[Path, None, None]:
        """The snapshot's path, which is not evicted inside the block. The lease ends with the process, however that ends.

        Raises InUseError when the model is being fetched or removed right now.
        """
        with self._locked(repo_id, commit, fcntl.LOCK_SH):
            yield self.snapshot(repo_id, commit)

    @contextmanager
    def exclusive(self, repo_id: str, commit: str) -> Generator[None, None, None]:
        """Nobody else fetches, uses or removes the commit inside the block. Raises InUseError when somebody does already."""
        with self._locked(repo_id, commit, fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, repo_id: str, commit: str, kind: int) -> Generator[None, None, None]:
        # Lock files stay: removing one would let two processes lock two files of one name.
        file = self.root / ".locks" / _folder_name(repo_id) / f"{commit}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUseError(f"{repo_id} is being fetched, used or removed by another process.") from error
            yield
        finally:
            os.close(descriptor)

    def publish(self, repo_id: str, commit: str, *, revision: str) -> Path:
        """Make the finished partial folder the snapshot, by one rename. Its files are already on disk."""
        snapshot = self.snapshot(repo_id, commit)
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        self.partial(repo_id, commit).rename(snapshot)
        sync(snapshot.parent)
        self.write_ref(repo_id, commit, revision=revision)
        return snapshot

    def write_ref(self, repo_id: str, commit: str, *, revision: str) -> None:
        """Let a branch or tag name the commit, as huggingface_hub does; readers prefer what `main` names."""
        if revision == commit or not _REF.fullmatch(revision):
            return
        ref = self.root / _folder_name(repo_id) / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f".{uuid4().hex}")
        temporary.write_text(commit)
        temporary.rename(ref)

    def read_ref(self, repo_id: str, revision: str) -> str | None:
        """The commit that a branch or tag names; None when it names none."""
        try:
            commit = (self.root / _folder_name(repo_id) / "refs" / revision).read_text().strip()
        except OSError:
            return None
        return commit if _REF.fullmatch(commit) else None

    def discard(self, repo_id: str, commit: str) -> Path | None:
        """Take a snapshot away by one rename; what it returns is to be deleted. None when there is no snapshot.

        Call it inside `exclusive`. References go first: one to a missing commit would make the whole cache entry unreadable.
        """
        snapshot = self.snapshot(repo_id, commit)
        if not snapshot.is_dir():
            return None
        for ref in (self.root / _folder_name(repo_id) / "refs").glob("*"):
            if ref.is_file() and ref.read_text().strip() == commit:
                ref.unlink()
        trash = self.partials / f"{_TRASH_PREFIX}{uuid4().hex}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        snapshot.rename(trash)
        return trash

    def remove_partial(self, repo_id: str, commit: str) -> None:
        """Delete what an unfinished download has fetched, unless another process is fetching it right now."""
        partial = self.partial(repo_id, commit)
        if not partial.exists():
            return
        with self.exclusive(repo_id, commit):
            shutil.rmtree(partial, ignore_errors=True)

    def sweep(self, *, keep: frozenset[Path], older_than: float) -> int:
        """Delete what was discarded, and partial folders outside `keep` untouched since `older_than` (seconds, epoch).

        Returns the number of folders deleted.
        """
        removed = 0
        for folder in [path for path in self.partials.glob("*") if path.is_dir()]:
            if folder.name.startswith(_TRASH_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
                continue
            for partial in list(folder.glob("*")):
                if partial not in keep and _newest_change(partial) < older_than:
                    shutil.rmtree(partial, ignore_errors=True)
                    removed += 1
            if not any(folder.iterdir()):
                folder.rmdir()
        return removed

    def free_bytes(self) -> int:
        """Bytes that the disk still takes."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free


def _folder_name(repo_id: str) -> str:
    return "models--" + repo_id.replace("/", "--")


def _newest_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
