"""What a backup takes of the data folder, and how it is put back.

Taken are datasets, runs with their checkpoints, adapters, MLflow's local store, and the folder's own id. Not taken is what can be
had again: downloaded models, exports, results kept aside, and whatever is on its way in or out, whose name begins with a dot.
"""

import os
import shutil
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from mlx_hub.core.checkpoints import CHECKPOINTS
from mlx_hub.core.durable_files import sync
from mlx_hub.db import QUEUE_FILE_NAME
from mlx_hub.services.machines import STORE_FILE

MLFLOW = "mlflow"
MLFLOW_DATABASE = "mlflow/mlflow.db"
FOLDERS = ("datasets", "runs", "adapters", MLFLOW)
_STAGING, _ASIDE = ".backup-", ".before-restore-"
_LOCK_SECONDS = 30.0


@contextmanager
def staging(data_dir: Path) -> Generator[Path]:
    """A folder on the same disk, gone at the end. What a killed backup left is removed when it is a day old."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    yesterday = datetime.now(UTC).timestamp() - 86_400
    for old in data_dir.glob(f"{_STAGING}*"):
        if old.stat().st_mtime < yesterday:
            shutil.rmtree(old, ignore_errors=True)
    folder = data_dir / f"{_STAGING}{uuid4().hex}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_files(data_dir: Path, folder: Path) -> None:
    """Link into `folder` what is there now and not in it yet: a moment's work, whatever the size.

    Files of the platform are whole when they have their name, and what grows is read up to where it is. A checkpoint that goes
    meanwhile is left out as a whole.
    """
    for path in _files(data_dir):
        target = folder / path.relative_to(data_dir)
        if not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _link(path, target)
    for kept in folder.glob(f"runs/*/{CHECKPOINTS}/*"):
        if not (data_dir / kept.relative_to(folder)).exists():
            shutil.rmtree(kept)


def _files(data_dir: Path) -> Iterator[Path]:
    if (data_dir / STORE_FILE).exists():
        yield data_dir / STORE_FILE
    for name in FOLDERS:
        for root, folders, files in os.walk(data_dir / name):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            for file in files:
                path = Path(root, file)
                if not file.startswith(".") and not _is_database(path.relative_to(data_dir)) and not path.is_symlink():
                    yield path


def _is_database(path: Path) -> bool:
    """MLflow's, which is copied by SQLite itself."""
    return path.as_posix().startswith(MLFLOW_DATABASE)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except FileNotFoundError:
        return
    except OSError:
        # A disk without hard links.
        try:
            shutil.copy2(path, target)
        except FileNotFoundError:
            return


def copy_sqlite(source: Path, target: Path) -> None:
    """The database as it is at one moment, as one file; writers do not wait. Raises sqlite3.Error when it is damaged."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)


@contextmanager
def replacing(data_dir: Path, staged: Path, databases: dict[Path, Path]) -> Generator[list[Path]]:
    """Put what is in `staged` where it belongs, and `databases` (from, to). Yields where what was there before is kept.

    All of it by renames. When one fails, or the block raises, everything is put back.
    """
    stamp = f"{_ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
    aside = data_dir / stamp
    aside.mkdir(mode=0o700)
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in _moves(data_dir, staged, databases, stamp):
            if source.exists():
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                source.rename(target)
                done.append((source, target))
        for folder in {data_dir, *(target.parent for target in databases.values())}:
            sync(folder)
        kept = [target for _, target in done if stamp in target.name and not target.name.endswith(("-wal", "-shm"))]
        yield [*([aside] if any(aside.iterdir()) else []), *kept]
    except BaseException:
        for source, target in reversed(done):
            target.rename(source)
        raise
    finally:
        if not any(aside.iterdir()):
            aside.rmdir()


def _moves(data_dir: Path, staged: Path, databases: dict[Path, Path], stamp: str) -> Iterator[tuple[Path, Path]]:
    """The old away first, then the new in."""
    for name in (STORE_FILE, *FOLDERS):
        yield data_dir / name, data_dir / stamp / name
    # The queue's own notes are of what is no more; the rows tell it everything. A database stays on its disk.
    for file in (*databases.values(), data_dir / QUEUE_FILE_NAME):
        for suffix in ("", "-wal", "-shm"):
            yield file.with_name(file.name + suffix), file.with_name(file.name + stamp + suffix)
    for name in (STORE_FILE, *FOLDERS):
        yield staged / name, data_dir / name
    yield from databases.items()
