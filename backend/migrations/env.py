"""Runs this service's migrations, online only, in one transaction under a lock that other processes wait for."""

import asyncio
from typing import Any

from alembic import context
from mlx_hub.config import Settings
from mlx_hub.db import BUSY_TIMEOUT_MILLISECONDS, VERSION_TABLE, async_url
from mlx_hub.models.base import Table
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK_KEY = 0x6D6C785F687562
METADATA = Table.metadata


def _url() -> URL:
    """The URL given by the server, else (on Alembic's command line) `-x url=…` or the default file."""
    if given := context.config.attributes.get("url"):
        return given
    return async_url(context.get_x_argument(as_dictionary=True).get("url"), data_dir=Settings().data_dir)


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """The other service keeps its tables in the same database: neither compare nor drop them."""
    return kind != "table" or name in METADATA.tables


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Foreign keys are off: rebuilding a table in batch mode would cascade into the rows that refer to it."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock before the version is read; the driver itself would begin only at the first INSERT."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_foreign_keys(connection: Connection) -> None:
    """What SQLite did not check while the tables were rebuilt. Raising undoes the migration."""
    for table in set(inspect(connection).get_table_names()) & set(METADATA.tables):
        broken = connection.exec_driver_sql(f'PRAGMA foreign_key_check("{table}")').fetchall()
        if broken:
            raise RuntimeError(f"the migration broke {len(broken)} references of {table}")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
        include_name=_is_ours,
        render_as_batch=True,
        compare_server_default=True,
    )
    context.run_migrations()
    if connection.dialect.name == "sqlite":
        _check_foreign_keys(connection)


async def _run() -> None:
    engine = create_async_engine(_url(), poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run())
