"""Runs this service's migrations, online only, in one transaction under a lock that other servers wait for."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from unified_mlx_app.db import BUSY_TIMEOUT_MILLISECONDS, VERSION_TABLE, async_url, metadata
from unified_mlx_app.models import served_model, stored_response

LOCK_KEY = 0x6D6C785F696E66
TABLES = {served_model.ServedModel.__tablename__, stored_response.StoredResponse.__tablename__}


def _url() -> URL:
    """The URL given by the server, else (on Alembic's command line) `-x url=…` or the default file."""
    return context.config.attributes.get("url") or async_url(context.get_x_argument(as_dictionary=True).get("url"))


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """The other service keeps its tables in the same database: neither compare nor drop them."""
    return kind != "table" or name in TABLES


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Foreign keys stay off: rebuilding a table in batch mode would cascade into the rows that refer to it."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock before the version is read; the driver itself would begin only at the first INSERT."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=_is_ours,
        render_as_batch=True,
        compare_server_default=True,
    )
    context.run_migrations()


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
