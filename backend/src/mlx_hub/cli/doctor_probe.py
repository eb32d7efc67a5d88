"""What `mlx-hub doctor` asks in a process of its own: settings, folders and database. Prints one JSON document."""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from mlx_hub.config import Settings, read_settings
from mlx_hub.db import async_url, create_engine

_SECONDS = 10.0


def main() -> None:
    """Exits with status 2, naming the variable, when the settings are wrong."""
    settings = read_settings()
    folders = [_folder(settings.data_dir), _folder(settings.model_cache_dir)]
    sys.stdout.write(json.dumps({"folders": folders, "database": asyncio.run(_database(settings))}))


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
    try:
        url = async_url(settings.database_url, data_dir=settings.data_dir)
    except ValueError as error:
        return {"url": None, "problem": str(error)}
    engine = create_engine(url)
    try:
        async with asyncio.timeout(_SECONDS), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        problem = None
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        await engine.dispose()
    return {"url": url.render_as_string(hide_password=True), "problem": problem}


if __name__ == "__main__":
    main()
