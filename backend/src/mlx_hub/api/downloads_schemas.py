"""What clients send and get about downloads."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from mlx_hub.models.base import Line, WireModel
from mlx_hub.models.job import Download, DownloadStatus
from mlx_hub.services.downloads import remaining_seconds

Short = Annotated[Line, StringConstraints(max_length=200)]


class DownloadCreate(WireModel):
    """Asked for again, the same model and revision is the same download."""

    repo_id: Short = Field(description="owner/name on the hub.", examples=["mlx-community/Qwen3-0.6B-4bit"])
    revision: Short = Field("main", description="Branch, tag or commit; pinned to a commit when the download starts.")


class DownloadPublic(BaseModel):
    """A download; `id` is that of the job. Sizes are in bytes."""

    id: UUID
    repo_id: str
    revision: str
    commit: str | None = Field(description="What the revision was when the download started.")
    status: DownloadStatus
    requested: str = Field(description="What a running download will do next: run, pause or cancel.")
    num_bytes_total: int = Field(description="0 until the hub has said it.")
    num_bytes_done: int
    bytes_per_second: int
    remaining_seconds: float | None = Field(description="At the present rate; null when there is none.")
    num_files: int
    path: str | None = Field(description="Folder of the model when it is ready.")
    details: dict[str, Any] = Field(description="Architecture, quantisation and size of a ready model.")
    is_pinned: bool = Field(description="Never evicted to make room for another.")
    model_id: UUID | None = Field(description="The registered model that it has become.")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def from_row(cls, row: Download) -> "DownloadPublic":
        values = row.model_dump(include=set(cls.model_fields))
        return cls(**values, remaining_seconds=remaining_seconds(row), num_files=len(row.files))


class CacheUsagePublic(BaseModel):
    """Sizes are in bytes; `num_bytes` is of complete models, `num_bytes_partial` of unfinished downloads."""

    num_bytes: int
    num_bytes_partial: int
    max_bytes: int
    free_disk_bytes: int
    num_models: int
