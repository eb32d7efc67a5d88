"""A task as clients see it, and the event that tells them of a change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.models.job import JobStatus, Task
from mlx_hub.services import events

EXPORT, QUANTISE, IMPORT = "export", "quantise", "import"


class TaskPublic(BaseModel):
    """An export, a quantisation or an import. `result` is filled when it is completed; sizes are in bytes."""

    id: UUID
    kind: str = Field(description="export, quantise or import.")
    subject_id: UUID = Field(description="The registered model that it works on; an import's own id.")
    status: JobStatus
    phase: str
    progress: float = Field(description="Share of the work that is done, 0 to 1; of an import, of its bytes.")
    is_cancel_requested: bool
    machine_id: str | None = Field(description="The worker that has it, or had it last.")
    arguments: dict[str, Any]
    result: dict[str, Any]
    has_archive: bool = Field(description="Whether `GET /tasks/{id}/archive` has something to download.")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    heartbeat_at: datetime | None

    @classmethod
    def from_row(cls, row: Task) -> "TaskPublic":
        return cls(**row.model_dump(include=set(cls.model_fields)), has_archive=has_archive(row))


def has_archive(task: Task) -> bool:
    """A model that is made goes into the model cache instead."""
    return task.kind == EXPORT and task.status == JobStatus.COMPLETED


async def publish_task(session: AsyncSession, row: Task) -> None:
    """Call it last in the transaction, as `events.publish`."""
    await events.publish(session, "task", row.id, TaskPublic.from_row(row).model_dump(mode="json"))
