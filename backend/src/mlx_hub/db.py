"""The service's database: engine, sessions, and the migration to the newest schema at start.

SQLite (one file, shared with the other service, which owns other tables) or PostgreSQL. Nothing here knows any table.
"""

import asyncio
import socket
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from asyncpg.exceptions import CannotConnectNowError, PostgresConnectionError
from sqlalchemy import Connection, DateTime, Dialect, MetaData, TypeDecorator, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

DEFAULT_DIR = Path("~/.mlx-hub")
DEFAULT_FILE_NAME = "mlx-hub.db"
QUEUE_FILE_NAME = "workflows.db"
"""Of the worker's queue, when the database is SQLite; in PostgreSQL it is a schema of the same database."""
MIGRATIONS_DIR = Path(__file__).parents[2] / "migrations"
VERSION_TABLE = "hub_alembic_version"
BUSY_TIMEOUT_MILLISECONDS = 10_000
_STARTING_OR_STOPPING = (CannotConnectNowError, PostgresConnectionError)

Sessions = async_sessionmaker[AsyncSession]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Of this service's tables only. Every constraint has a name, because a constraint without one cannot be dropped."""


class UTCDateTime(TypeDecorator[datetime]):
    """A moment with its time zone. SQLite forgets the zone: it is put back on reading. A naive value is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored; use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def async_url(database_url: str | None, *, data_dir: Path = DEFAULT_DIR) -> URL:
    """SQLAlchemy's URL for what `DATABASE_URL` says in its plain form; None is a SQLite file in `data_dir`, which is made.

    Raises ValueError, naming the variable but never the password, for anything but SQLite and PostgreSQL.
    """
    if database_url is None:
        folder = data_dir.expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return URL.create("sqlite+aiosqlite", database=str(folder / DEFAULT_FILE_NAME))
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise ValueError("DATABASE_URL is not a URL; write postgresql://user:password@host:port/database") from error
    match url.get_backend_name():
        case "postgresql" | "postgres":
            return _asyncpg_url(url)
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case other:
            raise ValueError(f"DATABASE_URL names the database {other!r}; use postgresql:// or sqlite:///")


def _asyncpg_url(url: URL) -> URL:
    """asyncpg says `ssl` for what libpq's URLs call `sslmode`."""
    query = dict(url.query)
    if sslmode := query.pop("sslmode", None):
        query["ssl"] = sslmode
    return url.set(drivername="postgresql+asyncpg", query=query)


def create_engine(url: URL) -> AsyncEngine:
    """An engine for requests. Its owner awaits `dispose()`."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_pre_ping=True, connect_args={"timeout": 10})
    engine = create_async_engine(url, connect_args={"factory": _SQLiteConnection})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


class _SQLiteConnection(sqlite3.Connection):
    """Gives its locks back when it is closed.

    SQLite keeps a closed connection alive, and its transaction with it, while a statement is unfinished; one that was
    cancelled stays so until the garbage collector finds its cursor.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first: a transaction that reads and then writes would else act on what is no longer so."""
    is_read_only = connection.get_execution_options().get("postgresql_readonly", False)
    connection.exec_driver_sql("BEGIN DEFERRED" if is_read_only else "BEGIN IMMEDIATE")


def create_sessions(engine: AsyncEngine, *, is_read_only: bool = False) -> Sessions:
    """`async with sessions.begin() as session:` is one transaction.

    On SQLite one that may write holds the file's only write lock from begin to end: nothing slow may happen in it.
    One that only reads waits for nobody and holds nobody up.
    """
    bind = engine.execution_options(postgresql_readonly=True) if is_read_only else engine
    return async_sessionmaker(bind, class_=AsyncSession, expire_on_commit=False)


def alembic_config(url: URL) -> Config:
    """Alembic's configuration for `url`. It is passed as an object: an ini file would read `%` in a password as its own."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.attributes["url"] = url
    return config


def is_away(error: BaseException) -> bool:
    """Whether `error` says that the database does not answer now, so that the same may work later."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
    # asyncpg passes on what the network says, and what a server that starts or stops says, as it is.
    return isinstance(error, (ConnectionError, TimeoutError, socket.gaierror, PoolTimeoutError, *_STARTING_OR_STOPPING))


async def upgrade(url: URL) -> None:
    """Bring this service's tables to the newest schema. Servers that start together wait for each other."""
    await asyncio.to_thread(_upgrade, url)


def _upgrade(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        _enter_wal(Path(url.database))
    command.upgrade(alembic_config(url), "head")


def _enter_wal(file: Path) -> None:
    """Switch the file to WAL, once and for ever, before several connections want to at the same time.

    SQLite ignores the busy timeout for this switch when two connections ask for it together, hence the exclusive lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_MILLISECONDS / 1000, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
