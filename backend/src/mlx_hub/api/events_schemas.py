"""What is sent on the event stream."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class EventData(BaseModel):
    """The `data` of an event; its `event` is the kind, its `id` is what a client resumes after."""

    subject_id: str = Field(description="Of the job, download, task, dataset, model, or, for system, machine.")
    payload: dict[str, Any] = Field(description="The public form of the row; `{job_id, points}` for metrics.")
    created_at: datetime


class PositionData(BaseModel):
    """The `data` of `hello` and `reset`: what comes after this id is sent from now on."""

    last_event_id: int
