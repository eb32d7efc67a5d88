"""A PostgreSQL database as files and back: every table of its schema, read in one snapshot, written in one transaction.

PostgreSQL's own programs are not needed, which must be of the server's version and are often not on the machine that takes the
backup. The files are the server's COPY text; how the tables are made is asked of its catalogue.
"""

import json
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

SHAPES = "tables.json"
_SCHEMA = "public"
_CONNECT_SECONDS = 10
_BLOCK_BYTES = 2**20
_TABLES = """
SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY c.relname"""
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
  pg_get_serial_sequence(%(table)s, a.attname)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_CONSTRAINTS = """
SELECT conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s AND contype IN ('p', 'u', 'c', 'f') ORDER BY conname"""
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
ORDER BY 1"""


def connect(url: URL) -> psycopg.Connection[Any]:
    """To the database of an asyncpg URL. Raises psycopg.OperationalError."""
    query = dict(url.query)
    if ssl := query.pop("ssl", None):
        query["sslmode"] = ssl
    plain = url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
    return psycopg.connect(plain, connect_timeout=_CONNECT_SECONDS, application_name="mlx-hub-backup")


def export_tables(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Every table as it is at one moment, which the connection goes on seeing until its transaction ends; nobody waits for it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    shapes = [_shape(connection, oid, name) for oid, name in connection.execute(_TABLES, [_SCHEMA]).fetchall()]
    for shape in shapes:
        statement = sql.SQL("COPY {} ({}) TO STDOUT").format(_table(shape["name"]), _names(shape["columns"]))
        with (folder / f"{shape['name']}.copy").open("wb") as file, connection.cursor().copy(statement) as copy:
            for block in copy:
                file.write(block)
    (folder / SHAPES).write_text(json.dumps(shapes, indent=1))


def _shape(connection: psycopg.Connection[Any], oid: int, name: str) -> dict[str, Any]:
    columns = connection.execute(_COLUMNS, {"oid": oid, "table": f'{_SCHEMA}."{name}"'}).fetchall()
    constraints = connection.execute(_CONSTRAINTS, [oid]).fetchall()
    return {
        "name": name,
        "columns": [column for column, *_ in columns],
        "definitions": [_definition(*column) for column in columns],
        "sequences": {column: _position(connection, sequence) for column, *_, sequence in columns if sequence},
        "constraints": [[own, text] for own, kind, text in constraints if kind != "f"],
        "foreign_keys": [[own, text] for own, kind, text in constraints if kind == "f"],
        "indexes": [text for (text,) in connection.execute(_INDEXES, [oid]).fetchall()],
    }


def _definition(name: str, kind: str, is_needed: bool, default: str | None, sequence: str | None) -> list[str]:
    """A column that counts by itself becomes one that makes its own sequence."""
    if sequence is not None:
        kind, default = {"integer": "serial", "smallint": "smallserial"}.get(kind, "bigserial"), None
    return [name, f"{kind}{' NOT NULL' if is_needed else ''}{f' DEFAULT {default}' if default is not None else ''}"]


def _position(connection: psycopg.Connection[Any], sequence: str) -> list[Any]:
    schema, _, name = sequence.partition(".")
    place = sql.Identifier(schema.strip('"'), name.strip('"'))
    row = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(place)).fetchone()
    assert row is not None
    return list(row)


def table_names(connection: psycopg.Connection[Any]) -> set[str]:
    return {name for _, name in connection.execute(_TABLES, [_SCHEMA]).fetchall()}


def other_clients(connection: psycopg.Connection[Any]) -> list[str]:
    """Who else is connected to the database: the names that the programs gave themselves, or their addresses."""
    found = connection.execute(
        "SELECT coalesce(nullif(application_name, ''), client_addr::text, 'unknown') FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1"
    ).fetchall()
    return [name for (name,) in found]


def import_tables(connection: psycopg.Connection[Any], folder: Path, own_tables: set[str]) -> None:
    """Make the tables those of `folder`, in the connection's transaction, which is the caller's to commit.

    `own_tables` that the backup does not know are dropped: they are of a later schema, whose migrations make them again.
    """
    shapes: list[dict[str, Any]] = json.loads((folder / SHAPES).read_text())
    for name in sorted(own_tables | {shape["name"] for shape in shapes}):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(_table(name)))
    for shape in shapes:
        _fill(connection, shape, folder / f"{shape['name']}.copy")
    for shape in shapes:
        _add_constraints(connection, shape["name"], shape["foreign_keys"])


def _fill(connection: psycopg.Connection[Any], shape: dict[str, Any], file: Path) -> None:
    table = _table(shape["name"])
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), raw_sql(text)) for name, text in shape["definitions"]
    )
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table, _names(shape["columns"]))
    with file.open("rb") as rows, connection.cursor().copy(statement) as copy:
        while block := rows.read(_BLOCK_BYTES):
            copy.write(block)
    _add_constraints(connection, shape["name"], shape["constraints"])
    for text in shape["indexes"]:
        connection.execute(raw_sql(text))
    for column, (last_value, is_called) in shape["sequences"].items():
        connection.execute(
            "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
            [f'{_SCHEMA}."{shape["name"]}"', column, last_value, is_called],
        )


def _add_constraints(connection: psycopg.Connection[Any], table: str, constraints: list[list[str]]) -> None:
    for name, text in constraints:
        statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
        connection.execute(statement.format(_table(table), sql.Identifier(name), raw_sql(text)))


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(_SCHEMA, name)


def _names(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def raw_sql(text: str) -> sql.SQL:
    """What is known to be SQL: our own, or what the server's catalogue said."""
    return sql.SQL(cast(LiteralString, text))
