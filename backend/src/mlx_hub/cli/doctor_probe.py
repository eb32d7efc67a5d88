"""What `mlx-hub doctor` asks in a process of its own: settings, folders, database, hub, who can read what. Prints JSON."""

import asyncio
import json
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from mlx_hub.cli.checkout import checkout_root
from mlx_hub.config import Settings, read_settings
from mlx_hub.db import VERSION_TABLE, alembic_config, async_url, create_engine
from mlx_hub.services.mlflow_store import local_folder

_SECONDS = 10.0
_HUB_SECONDS = 5.0


def main() -> None:
    """Exits with status 2, naming the variable, when the settings are wrong."""
    settings = read_settings()
    answer = {
        "folders": [_folder(settings.data_dir), _folder(settings.model_cache_dir)],
        "database": asyncio.run(_database(settings)),
        "hub": _hub(settings),
        "readable": [str(path) for path in _private_files(settings) if _others_can_read(path)],
        "worker_metrics_port": settings.worker_metrics_port,
    }
    sys.stdout.write(json.dumps(answer))


def _folder(path: Path) -> dict[str, Any]:
    """Whether it can be written, or made; nothing is left behind."""
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            problem = None
    except OSError as error:
        problem = error.strerror
    return {"path": str(path), "problem": problem, "free_bytes": shutil.disk_usage(place).free}


async def _database(settings: Settings) -> dict[str, Any]:
    """`schema` says how its tables fit this release: current, older, newer, or none yet. `damage` is SQLite's own verdict."""
    try:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
    except ValueError as error:
        return {"url": None, "problem": str(error), "schema": None, "damage": None}
    found: dict[str, Any] = {"url": url.render_as_string(hide_password=True), "problem": None, "schema": "none", "damage": None}
    if _is_to_be_made(url):
        return found
    engine = create_engine(url)
    try:
        async with asyncio.timeout(_SECONDS), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            if url.get_backend_name() == "sqlite":
                found["damage"] = await _damage(connection)
            found["schema"] = await _schema(connection, url)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        found["problem"] = str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        await engine.dispose()
    return found


def _is_to_be_made(url: URL) -> bool:
    """Whether it is a SQLite file that is not there: looking into it would make it."""
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


async def _damage(connection: AsyncConnection) -> str | None:
    verdict = (await connection.execute(text("PRAGMA quick_check(1)"))).scalar_one()
    return None if verdict == "ok" else str(verdict)


async def _schema(connection: AsyncConnection, url: URL) -> str:
    try:
        revision = (await connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))).scalar_one_or_none()
    except DBAPIError:
        return "none"
    scripts = ScriptDirectory.from_config(alembic_config(url))
    if revision == scripts.get_current_head():
        return "current"
    return "older" if revision in {script.revision for script in scripts.walk_revisions()} else "newer"


def _hub(settings: Settings) -> dict[str, Any]:
    """Whether the hub answers at all; what it says does not matter."""
    problem = None
    try:
        httpx.head(f"{settings.hub_endpoint}/api/models", params={"limit": 1}, timeout=_HUB_SECONDS)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        problem = str(error) or type(error).__name__
    return {"url": settings.hub_endpoint, "problem": problem}


def _private_files(settings: Settings) -> list[Path]:
    """What holds passwords, keys, or people's texts."""
    try:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
    except ValueError:
        url = async_url(None, data_dir=settings.data_dir)
    database = [Path(url.database)] if url.get_backend_name() == "sqlite" and url.database else []
    root = checkout_root()
    own = [settings.data_dir / "datasets", settings.data_dir / "audit.jsonl", local_folder(settings) / "mlflow.db"]
    return [path for path in [*database, *own, *([root / ".env"] if root else [])] if path.exists()]


def _others_can_read(path: Path) -> bool:
    """Whether another user of this machine gets at it: by its own mode, and that of each folder above it."""
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if path.stat().st_mode & needed != needed:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.absolute().parents)


if __name__ == "__main__":
    main()
