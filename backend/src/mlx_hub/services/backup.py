"""Backup and restore of what cannot be had again: both services' rows, datasets, runs, adapters, own models, a local MLflow.

A backup may be taken while everything runs. Files are linked before and after the database is read, so each row's files are
there; MLflow's own database is read last, as it may know more than ours but never less. Restoring needs a platform that stands
still. Blocks; used by a process of its own.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL

from mlx_hub.config import Settings
from mlx_hub.core.durable_files import sync
from mlx_hub.db import DEFAULT_DIR, DEFAULT_FILE_NAME, VERSION_TABLE, alembic_config, async_url, metadata
from mlx_hub.services import backup_postgres
from mlx_hub.services.backup_archive import BackupError, Progress, read_manifest, read_members, write_archive
from mlx_hub.services.backup_files import FOLDERS, MLFLOW_DATABASE, copy_sqlite, keep_files, replacing, staging
from mlx_hub.services.backup_models import keep_models, put_models
from mlx_hub.services.machines import live_machines

_STORE, _DATABASE, _MODEL_FILES = "store", "database", "models"
_OWN, _OTHER = "hub.db", "inference.db"
_MARGIN_BYTES = 64 * 2**20
_MODELS = "SELECT repo_id, revision, \"commit\", num_bytes_total FROM download WHERE status = 'ready' ORDER BY repo_id, revision"
_COUNTED = ("registered_model", "model_version", "dataset", "training_job", "served_model")

Execute = Callable[[str], list[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the settings say that everything is. `files` are the SQLite files by their names in a backup."""

    data_dir: Path
    model_cache_dir: Path
    url: URL
    files: dict[str, Path]

    @classmethod
    def of(cls, settings: Settings) -> "Place":
        """Raises ValueError for a DATABASE_URL that is none."""
        data_dir = settings.data_dir.absolute()
        url = async_url(settings.database_url, data_dir=data_dir)
        files: dict[str, Path] = {}
        if url.get_backend_name() == "sqlite":
            files[_OWN] = Path(url.database or "").absolute()
            other = (DEFAULT_DIR / DEFAULT_FILE_NAME).expanduser().absolute()
            # Without a DATABASE_URL the inference server's file is in the home folder, wherever the data folder is.
            if settings.database_url is None and other != files[_OWN] and other.exists():
                files[_OTHER] = other
        return cls(data_dir, settings.model_cache_dir.absolute(), url, files)

    @property
    def kind(self) -> str:
        return "postgresql" if self.url.get_backend_name() == "postgresql" else "sqlite"


def create_backup(place: Place, target: Path, *, may_replace: bool, on_progress: Progress) -> dict[str, Any]:
    """Write a backup to `target`, a file or an existing folder. Returns what it holds, and `path`. Raises BackupError."""
    if target.is_dir():
        target = target / f"mlx-hub-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
    if target.exists() and not may_replace:
        raise BackupError(f"{target} exists: name another file, or say --force.")
    if not target.parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}: make it first.")
    with staging(place.data_dir) as folder:
        keep_files(place.data_dir, folder / _STORE)
        facts = _copy_database(place, folder / _DATABASE)
        keep_files(place.data_dir, folder / _STORE)
        keep_models(place.model_cache_dir, facts["models"], folder / _MODEL_FILES)
        if (store := place.data_dir / MLFLOW_DATABASE).exists():
            copy_sqlite(store, folder / _STORE / MLFLOW_DATABASE)
        _check_room(folder, target.parent)
        manifest = write_archive(folder, target, {**_facts(place), **facts}, on_progress)
    return {**_summary(manifest), "path": str(target)}


def _facts(place: Place) -> dict[str, Any]:
    return {
        "created_at": datetime.now(UTC).isoformat(),
        "version": version("mlx-hub"),
        "database": place.kind,
        "data_dir": str(place.data_dir),
        "model_cache_dir": str(place.model_cache_dir),
    }


def _copy_database(place: Place, folder: Path) -> dict[str, Any]:
    if place.kind == "postgresql":
        with backup_postgres.connect(place.url) as connection:
            backup_postgres.export_tables(connection, folder)
            return _database_facts(backup_postgres.table_names(connection), _execute_on(connection))
    if not place.files[_OWN].exists():
        raise BackupError(f"There is nothing to back up: no database at {place.files[_OWN]}.")
    for name, file in place.files.items():
        copy_sqlite(file, folder / name)
    with closing(sqlite3.connect(folder / _OWN)) as connection:
        return _database_facts(_sqlite_tables(connection), lambda statement: connection.execute(statement).fetchall())


def _execute_on(connection: psycopg.Connection[Any]) -> Execute:
    return lambda statement: connection.execute(backup_postgres.raw_sql(statement)).fetchall()


def _database_facts(tables: set[str], execute: Execute) -> dict[str, Any]:
    """The schema's revision, rows of the tables that people care about, and the models that are not in the backup."""
    models = [
        {"repo_id": repo, "revision": revision, "commit": commit, "num_bytes": num_bytes}
        for repo, revision, commit, num_bytes in execute(_MODELS)
    ]
    counts = {table: execute(f"SELECT count(*) FROM {table}")[0][0] for table in _COUNTED if table in tables}
    return {"revision": execute(f"SELECT version_num FROM {VERSION_TABLE}")[0][0], "rows": counts, "models": models}


def _check_room(folder: Path, target: Path) -> None:
    needed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(target).free
    if free < needed + _MARGIN_BYTES:
        raise BackupError(f"The backup takes {needed / 10**9:.1f} GB, and {target} has {free / 10**9:.1f} GB left.")


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    kept = ("created_at", "version", "database", "data_dir", "revision", "rows", "models")
    members = manifest["members"].values()
    told = {name: manifest[name] for name in kept}
    return {**told, "num_files": len(members), "num_bytes": sum(member["size"] for member in members)}


def check_backup(file: Path, on_progress: Progress) -> dict[str, Any]:
    """Read every byte of a backup and compare it with its digest. Returns what it holds. Raises BackupError."""
    manifest = read_manifest(file)
    read_members(file, manifest, None, on_progress)
    return {**_summary(manifest), "path": str(file)}


def restore_backup(place: Place, file: Path, *, may_replace: bool, on_progress: Progress) -> dict[str, Any]:
    """Make everything as it was at the backup. What was there is kept beside it, and `kept` says where. Raises BackupError.

    Nothing changes before the whole backup has been read and found good; then files change by renames and PostgreSQL in one
    transaction, and a failure puts both back.
    """
    manifest = read_manifest(file)
    _refuse_other_place(place, manifest)
    _refuse_live(place)
    if not may_replace and (found := _data_at(place)):
        raise BackupError(f"There are data already ({found}): say --force to put the backup in their place; they are kept aside.")
    with staging(place.data_dir) as folder:
        read_members(file, manifest, folder, on_progress)
        put_models(place.model_cache_dir, manifest["models"], folder / _MODEL_FILES)
        kept = _put_in_place(place, folder)
    return {**_summary(manifest), "path": str(file), "kept": [str(path) for path in kept]}


def _put_in_place(place: Place, folder: Path) -> list[Path]:
    if place.kind == "postgresql":
        with backup_postgres.connect(place.url) as connection:
            backup_postgres.import_tables(connection, folder / _DATABASE, set(metadata.tables) | {VERSION_TABLE})
            with replacing(place.data_dir, folder / _STORE, {}) as kept:
                connection.commit()
                return kept
    databases = {_beside(folder / _DATABASE / name, target): target for name, target in _targets(place, folder).items()}
    with replacing(place.data_dir, folder / _STORE, databases) as kept:
        return kept


def _targets(place: Place, folder: Path) -> dict[str, Path]:
    """Where the SQLite files of the backup go."""
    other = (DEFAULT_DIR / DEFAULT_FILE_NAME).expanduser().absolute()
    places = {_OWN: place.files[_OWN], _OTHER: other}
    return {name: target for name, target in places.items() if (folder / _DATABASE / name).exists()}


def _beside(source: Path, target: Path) -> Path:
    """A copy on the disk of `target`, from where a rename is enough."""
    part = target.with_name(f".{target.name}.restored")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    shutil.copyfile(source, part)
    part.chmod(0o600)
    sync(part)
    return part


def _refuse_other_place(place: Place, manifest: dict[str, Any]) -> None:
    if manifest["database"] != place.kind:
        raise BackupError(f"The backup is of a {manifest['database']} database: set DATABASE_URL to one of that kind.")
    for name, variable in (("data_dir", "MLX_HUB_DATA_DIR"), ("model_cache_dir", "MODEL_CACHE_DIR")):
        if manifest[name] != str(getattr(place, name)):
            raise BackupError(f"Rows of the backup name files in {manifest[name]}: set {variable} to that folder.")
    known = ScriptDirectory.from_config(alembic_config(place.url))
    if manifest["revision"] not in {script.revision for script in known.walk_revisions()}:
        raise BackupError(f"The backup is of a later release ({manifest['version']}): restore it with that one.")


def _refuse_live(place: Place) -> None:
    """A worker holds its lock, and whoever uses the database has a connection open."""
    if alive := live_machines(place.data_dir):
        raise BackupError(f"The worker {', '.join(alive)} is running: stop the platform first (Ctrl-C in `make start`).")
    if place.kind == "postgresql":
        with backup_postgres.connect(place.url) as connection:
            if others := backup_postgres.other_clients(connection):
                raise BackupError(f"The database is in use ({', '.join(others)}): stop the platform first.")
        return
    for file in place.files.values():
        if file.exists() and not _is_unused(file):
            raise BackupError(f"{file} is in use: stop the platform first (Ctrl-C in `make start`).")


def _is_unused(file: Path) -> bool:
    """SQLite leaves WAL only when nobody else has the file open. What cannot be read is used by nobody: it is replaced."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            return "locked" not in str(error)
        except sqlite3.DatabaseError:
            return True
    return True


def _data_at(place: Place) -> str | None:
    """What a restore would replace, in words; None when there is nothing to lose."""
    for name in FOLDERS:
        if any(path.is_file() for path in (place.data_dir / name).rglob("*")):
            return str(place.data_dir / name)
    if place.kind == "postgresql":
        with backup_postgres.connect(place.url) as connection:
            return _first_full(backup_postgres.table_names(connection), _execute_on(connection))
    found = (_data_in(file) for file in place.files.values() if file.exists())
    return next((told for told in found if told), None)


def _data_in(file: Path) -> str | None:
    with closing(sqlite3.connect(file)) as connection:
        try:
            return _first_full(_sqlite_tables(connection), lambda statement: connection.execute(statement).fetchall())
        except sqlite3.DatabaseError:
            return str(file)


def _sqlite_tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _first_full(tables: set[str], execute: Execute) -> str | None:
    full = (table for table in _COUNTED if table in tables and execute(f"SELECT count(*) FROM {table}")[0][0])
    return next((f"rows of {table}" for table in full), None)
