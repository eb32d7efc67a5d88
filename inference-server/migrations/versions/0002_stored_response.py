"""The table of stored responses.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
import unified_mlx_app.db
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stored_response",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("previous_id", sa.String(length=128), nullable=True),
        sa.Column("created_at", unified_mlx_app.db.UTCDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", unified_mlx_app.db.UTCDateTime(timezone=True), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("input_items", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_response")),
    )
    op.create_index(op.f("ix_stored_response_expires_at"), "stored_response", ["expires_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_stored_response_expires_at"), table_name="stored_response")
    op.drop_table("stored_response")
