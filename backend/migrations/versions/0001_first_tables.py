"""The tables of the registry, datasets, downloads and jobs.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from mlx_hub.db import UTCDateTime
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A table comes after those that it refers to."""
    _create_dataset()
    _create_event()
    _create_idempotency_key()
    _create_machine()
    _create_outbox()
    _create_registered_model()
    _create_task()
    _create_download()
    _create_model_version()
    _create_model_alias()
    _create_training_job()
    _create_metric()


def downgrade() -> None:
    for table in (
        "metric",
        "training_job",
        "model_alias",
        "model_version",
        "download",
        "task",
        "registered_model",
        "outbox",
        "machine",
        "idempotency_key",
        "event",
        "dataset",
    ):
        op.drop_table(table)


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=4096), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("num_rows", sa.Integer(), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_index(op.f("ix_dataset_sha256"), "dataset", ["sha256"])


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )


def _create_idempotency_key() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "scope", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"])


def _create_machine() -> None:
    op.create_table(
        "machine",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("heartbeat_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine")),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )


def _create_registered_model() -> None:
    op.create_table(
        "registered_model",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("base_model", sa.String(length=200), nullable=False),
        sa.Column("task_type", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("base_model_id", sa.Uuid(), nullable=True),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("updated_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["base_model_id"], ["registered_model.id"], name=op.f("fk_registered_model_base_model_id_registered_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_model")),
        sa.UniqueConstraint("name", name=op.f("uq_registered_model_name")),
    )
    op.create_index(op.f("ix_registered_model_base_model_id"), "registered_model", ["base_model_id"])


def _create_task() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("result", JSON, nullable=False),
        sa.Column("error_message", sa.String(length=10000), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("completed_at", UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_task_idempotency_key")),
    )
    op.create_index(op.f("ix_task_status"), "task", ["status"])
    op.create_index(op.f("ix_task_subject_id"), "task", ["subject_id"])


def _create_download() -> None:
    op.create_table(
        "download",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repo_id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.String(length=200), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("requested", sa.String(length=16), nullable=False),
        sa.Column("num_bytes_total", sa.BigInteger(), nullable=False),
        sa.Column("num_bytes_done", sa.BigInteger(), nullable=False),
        sa.Column("bytes_per_second", sa.BigInteger(), nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("path", sa.String(length=4096), nullable=True),
        sa.Column("details", JSON, nullable=False),
        sa.Column("is_pinned", sa.Boolean(), nullable=False),
        sa.Column("registers_model", sa.Boolean(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=10000), nullable=True),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("started_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("completed_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("progress_at", UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_model.id"], name=op.f("fk_download_model_id_registered_model"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_download")),
        sa.UniqueConstraint("repo_id", "revision", name=op.f("uq_download_repo_id")),
    )
    op.create_index(op.f("ix_download_model_id"), "download", ["model_id"])
    op.create_index(op.f("ix_download_status"), "download", ["status"])


def _create_model_version() -> None:
    op.create_table(
        "model_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=4096), nullable=False),
        sa.Column("base_commit", sa.String(length=64), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=True),
        sa.Column("dataset_sha256", sa.String(length=64), nullable=True),
        sa.Column("config", JSON, nullable=False),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("code_version", sa.String(length=64), nullable=True),
        sa.Column("mlflow_run_id", sa.String(length=64), nullable=True),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("samples", JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_model_version_dataset_id_dataset"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_model.id"], name=op.f("fk_model_version_model_id_registered_model"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("model_id", "version", name=op.f("uq_model_version_model_id")),
    )
    op.create_index(op.f("ix_model_version_dataset_id"), "model_version", ["dataset_id"])
    op.create_index(op.f("ix_model_version_model_id"), "model_version", ["model_id"])


def _create_model_alias() -> None:
    op.create_table(
        "model_alias",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("previous_version_id", sa.Uuid(), nullable=True),
        sa.Column("updated_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_model.id"], name=op.f("fk_model_alias_model_id_registered_model"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["previous_version_id"],
            ["model_version.id"],
            name=op.f("fk_model_alias_previous_version_id_model_version"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_version.id"], name=op.f("fk_model_alias_version_id_model_version"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_alias")),
        sa.UniqueConstraint("model_id", "alias", name=op.f("uq_model_alias_model_id")),
    )
    op.create_index(op.f("ix_model_alias_model_id"), "model_alias", ["model_id"])
    op.create_index(op.f("ix_model_alias_previous_version_id"), "model_alias", ["previous_version_id"])
    op.create_index(op.f("ix_model_alias_version_id"), "model_alias", ["version_id"])


def _create_training_job() -> None:
    op.create_table(
        "training_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=True),
        sa.Column("model_version_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("num_steps", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("is_cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("machine_id", sa.String(length=64), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=10000), nullable=True),
        sa.Column("preflight", JSON, nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("started_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("completed_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_training_job_dataset_id_dataset"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_model.id"], name=op.f("fk_training_job_model_id_registered_model"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_training_job_model_version_id_model_version"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_job")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_training_job_idempotency_key")),
    )
    op.create_index(op.f("ix_training_job_dataset_id"), "training_job", ["dataset_id"])
    op.create_index(op.f("ix_training_job_model_id"), "training_job", ["model_id"])
    op.create_index(op.f("ix_training_job_model_version_id"), "training_job", ["model_version_id"])
    op.create_index(op.f("ix_training_job_status"), "training_job", ["status"])


def _create_metric() -> None:
    op.create_table(
        "metric",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["training_job.id"], name=op.f("fk_metric_job_id_training_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric")),
        sa.UniqueConstraint("job_id", "name", "step", name=op.f("uq_metric_job_id")),
    )
    op.create_index(op.f("ix_metric_job_id"), "metric", ["job_id"])
