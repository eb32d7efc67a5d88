"""How far MLflow follows, and what it refused.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from mlx_hub.db import UTCDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, UTCDateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "mirror",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        _time("lease_until", nullable=False),
        sa.Column("uri", sa.String(length=2000), nullable=False),
        _time("told_at"),
        sa.Column("error", sa.String(length=2000), nullable=True),
        _time("error_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_mirror")),
    )
    with op.batch_alter_table("outbox") as batch:
        batch.add_column(_time("set_aside_at"))
        batch.add_column(sa.Column("error", sa.String(length=2000), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("outbox") as batch:
        batch.drop_column("error")
        batch.drop_column("set_aside_at")
    op.drop_table("mirror")
