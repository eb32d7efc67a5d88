"""The table of registered models and adapters.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
import unified_mlx_app.db
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "served_model",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("base_model", sa.String(length=4096), nullable=False),
        sa.Column("adapter_path", sa.String(length=4096), nullable=True),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("config", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False),
        sa.Column("model_id", sa.String(length=200), nullable=True),
        sa.Column("registered_by", sa.String(length=200), nullable=True),
        sa.Column("created_at", unified_mlx_app.db.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_served_model")),
        sa.UniqueConstraint("name", name=op.f("uq_served_model_name")),
    )


def downgrade() -> None:
    op.drop_table("served_model")
