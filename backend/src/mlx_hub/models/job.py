"""Background work: training jobs, their metrics and events, downloads, and the machines that do the work.

The legal transitions of a job's status stand here, in one table; cancelling is a flag, not a status.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, Text, UniqueConstraint
from sqlmodel import Field

from mlx_hub.models.base import Table, json_column, serial_column, time_column, utc_now
from mlx_hub.observability.logs import current_request_id
from mlx_hub.observability.tracing import current_traceparent


class JobStatus(StrEnum):
    """queued → running → completed | failed | cancelled; running → queued when its worker is gone."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset({JobStatus.QUEUED}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""Ended jobs go back to the queue by resume, extend or retry, which keep their checkpoints."""

ENDED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


def origin() -> dict[str, str | None]:
    """The columns that tell which request queues a row now, and where its trace goes on: the worker's log and spans follow it."""
    return {"request_id": current_request_id(), "traceparent": current_traceparent()}


class PromotionRule(StrEnum):
    """When a finished job moves the alias `champion` to its version; `latest` always moves."""

    IF_FIRST = "if_first"
    ALWAYS = "always"
    NEVER = "never"


class TrainingJob(Table, table=True):
    """One LoRA (or full) training run. Ended runs outlive their model and dataset.

    `attempt` grows whenever the job is queued again; a worker that holds an older attempt leaves the job alone.
    """

    __tablename__: ClassVar[Any] = "training_job"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200)
    store_id: str = Field(max_length=64, index=True)
    """Of the data folder that holds its run: workers that see that folder can run it."""
    adapter_name: str = Field(max_length=200)
    """The registered model that the trained adapter becomes a version of."""
    promotion: str = Field(default=PromotionRule.IF_FIRST, max_length=16)
    model_id: UUID | None = Field(foreign_key="registered_model.id", index=True, ondelete="SET NULL")
    dataset_id: UUID | None = Field(foreign_key="dataset.id", index=True, ondelete="SET NULL")
    model_version_id: UUID | None = Field(default=None, foreign_key="model_version.id", index=True, ondelete="SET NULL")
    status: str = Field(default=JobStatus.QUEUED, max_length=32, index=True)
    phase: str = Field(default="queued", max_length=32)
    config: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    num_steps: int = 0
    step: int = 0
    attempt: int = 0
    is_cancel_requested: bool = False
    machine_id: str | None = Field(default=None, max_length=64)
    request_id: str | None = Field(default_factory=current_request_id, max_length=64)
    traceparent: str | None = Field(default_factory=current_traceparent, max_length=64)
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=10_000)
    exit_signal: int | None = None
    log_tail: str = Field(default="", sa_column=Column(Text(), nullable=False))
    """The last lines of a failed trainer."""
    mlflow_run_id: str | None = Field(default=None, max_length=64)
    preflight: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    started_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    completed_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    heartbeat_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))


class Metric(Table, table=True):
    """One number of a run at one step; logging it twice changes nothing."""

    __tablename__: ClassVar[Any] = "metric"
    __table_args__ = (UniqueConstraint("job_id", "name", "step"),)

    id: int | None = Field(default=None, sa_column=serial_column())
    job_id: UUID = Field(foreign_key="training_job.id", index=True, ondelete="CASCADE")
    name: str = Field(max_length=64)
    step: int
    value: float
    recorded_at: datetime = Field(default_factory=utc_now, sa_column=time_column())


class DownloadStatus(StrEnum):
    """queued → running → ready | failed | cancelled; running → paused → queued; ready → evicted.

    All ended ones can be queued again.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EVICTED = "evicted"


class Download(Table, table=True):
    """A model on its way from the hub, or in the cache when ready: one row for a repository and revision, whoever asks."""

    __tablename__: ClassVar[Any] = "download"
    __table_args__ = (UniqueConstraint("repo_id", "revision"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    store_id: str = Field(default="", max_length=64)
    attempt: int = 0
    machine_id: str | None = Field(default=None, max_length=64)
    request_id: str | None = Field(default_factory=current_request_id, max_length=64)
    traceparent: str | None = Field(default_factory=current_traceparent, max_length=64)
    repo_id: str = Field(max_length=200)
    revision: str = Field(max_length=200)
    commit: str | None = Field(default=None, max_length=64)
    status: str = Field(default=DownloadStatus.QUEUED, max_length=32, index=True)
    requested: str = Field(default="run", max_length=16)
    """What people want of it: run, pause or cancel."""
    num_bytes_total: int = Field(default=0, sa_column=Column(BigInteger(), nullable=False))
    num_bytes_done: int = Field(default=0, sa_column=Column(BigInteger(), nullable=False))
    bytes_per_second: int = Field(default=0, sa_column=Column(BigInteger(), nullable=False))
    """Of the last seconds before `progress_at`."""
    files: list[dict[str, Any]] = Field(default_factory=list, sa_column=json_column())
    path: str | None = Field(default=None, max_length=4096)
    details: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    is_pinned: bool = False
    registers_model: bool = False
    """Whether it becomes a registered model, `model_id`, when it is ready."""
    model_id: UUID | None = Field(default=None, foreign_key="registered_model.id", index=True, ondelete="SET NULL")
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=10_000)
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    started_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    completed_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    progress_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))


class Task(Table, table=True):
    """Other background work that people wait for: export, quantise and import. Statuses move as those of jobs."""

    __tablename__: ClassVar[Any] = "task"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    store_id: str = Field(max_length=64, index=True)
    kind: str = Field(max_length=32)
    subject_id: UUID = Field(index=True)
    status: str = Field(default=JobStatus.QUEUED, max_length=32, index=True)
    phase: str = Field(default="queued", max_length=32)
    progress: float = 0.0
    """Share of the work that is done, 0 to 1."""
    attempt: int = 0
    is_cancel_requested: bool = False
    machine_id: str | None = Field(default=None, max_length=64)
    request_id: str | None = Field(default_factory=current_request_id, max_length=64)
    traceparent: str | None = Field(default_factory=current_traceparent, max_length=64)
    arguments: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    result: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=10_000)
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    started_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    completed_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    heartbeat_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))


class Event(Table, table=True):
    """What happened, in the order it is streamed to dashboards; old rows are pruned."""

    __tablename__: ClassVar[Any] = "event"

    id: int | None = Field(default=None, sa_column=serial_column())
    kind: str = Field(max_length=32)
    subject_id: str = Field(max_length=64)
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())


class Outbox(Table, table=True):
    """What MLflow still has to be told; rows go when it has confirmed.

    One that it refuses for good is set aside with its reason, so that the others get through.
    """

    __tablename__: ClassVar[Any] = "outbox"

    id: int | None = Field(default=None, sa_column=serial_column())
    kind: str = Field(max_length=32)
    subject_id: str = Field(max_length=64)
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    set_aside_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    error: str | None = Field(default=None, max_length=2000)


class MirrorState(Table, table=True):
    """How far MLflow follows: one row, with the lease of the worker that tells it. `uri` has no password."""

    __tablename__: ClassVar[Any] = "mirror"

    name: str = Field(max_length=32, primary_key=True)
    holder: str = Field(max_length=128)
    lease_until: datetime = Field(sa_column=time_column())
    uri: str = Field(max_length=2000)
    told_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))
    error: str | None = Field(default=None, max_length=2000)
    """Why MLflow could not be told; None while it answers."""
    error_at: datetime | None = Field(default=None, sa_column=time_column(nullable=True))


class Machine(Table, table=True):
    """A worker's lease: it is alive while it renews `heartbeat_at`."""

    __tablename__: ClassVar[Any] = "machine"

    id: str = Field(max_length=64, primary_key=True)
    store_id: str = Field(max_length=64, index=True)
    hostname: str = Field(max_length=255)
    device: str = Field(max_length=200)
    memory_bytes: int = Field(sa_column=Column(BigInteger(), nullable=False))
    version: str = Field(max_length=64)
    started_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
    heartbeat_at: datetime = Field(default_factory=utc_now, sa_column=time_column())
