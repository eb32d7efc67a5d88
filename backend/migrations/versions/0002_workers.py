"""What workers need: stores, attempts, machines, and how a run ended.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from mlx_hub.db import UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FOR_OLD_ROWS = {sa.String: "", sa.Text: "", sa.Integer: "0", sa.BigInteger: "0", sa.Float: "0", sa.Boolean: sa.false()}


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _time(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, UTCDateTime(timezone=True), nullable=nullable)


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    """By table. Columns belong to one table each, so they are made anew for each use."""
    return {
        "download": [
            _text("store_id", 64),
            sa.Column("attempt", sa.Integer(), nullable=False),
            _text("machine_id", 64, nullable=True),
        ],
        "machine": [
            _text("store_id", 64),
            sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
            _text("version", 64),
            _time("started_at", nullable=False),
        ],
        "model_version": [_text("sha256", 64, nullable=True), sa.Column("num_bytes", sa.BigInteger(), nullable=True)],
        "task": [
            _text("store_id", 64),
            _text("phase", 32),
            sa.Column("progress", sa.Float(), nullable=False),
            sa.Column("attempt", sa.Integer(), nullable=False),
            sa.Column("is_cancel_requested", sa.Boolean(), nullable=False),
            _text("machine_id", 64, nullable=True),
            _text("error_code", 64, nullable=True),
            _time("started_at"),
            _time("heartbeat_at"),
        ],
        "training_job": [
            _text("store_id", 64),
            _text("adapter_name", 200),
            _text("promotion", 16),
            sa.Column("exit_signal", sa.Integer(), nullable=True),
            sa.Column("log_tail", sa.Text(), nullable=False),
            _text("mlflow_run_id", 64, nullable=True),
        ],
    }


_INDEXES = [("machine", "store_id"), ("task", "store_id"), ("training_job", "store_id")]
_KEYED = ("task", "training_job")


def upgrade() -> None:
    # A machine's row says that a worker lives; workers write theirs anew when they start.
    op.execute("DELETE FROM machine")
    for table, columns in _new_columns().items():
        required = [column.name for column in columns if not column.nullable and not isinstance(column.type, UTCDateTime)]
        with op.batch_alter_table(table) as batch:
            for column in columns:
                if column.name in required:
                    column.server_default = sa.DefaultClause(_default_for_old_rows(column))
                batch.add_column(column)
        with op.batch_alter_table(table) as batch:
            for name in required:
                batch.alter_column(name, server_default=None)
    for table in _KEYED:
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"uq_{table}_idempotency_key"), type_="unique")
            batch.drop_column("idempotency_key")
    for table, column in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table, column in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    for table in _KEYED:
        with op.batch_alter_table(table) as batch:
            batch.add_column(_text("idempotency_key", 200, nullable=True))
            batch.create_unique_constraint(op.f(f"uq_{table}_idempotency_key"), ["idempotency_key"])
    for table, columns in _new_columns().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)


def _default_for_old_rows(column: sa.Column[Any]) -> Any:
    return "if_first" if column.name == "promotion" else _FOR_OLD_ROWS[type(column.type)]
