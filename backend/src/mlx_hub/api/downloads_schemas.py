"""What clients send and get about downloads."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from mlx_hub.models.base import Line, WireModel

Short = Annotated[Line, StringConstraints(max_length=200)]


class DownloadCreate(WireModel):
    """Asked for again, the same model and revision is the same download."""

    repo_id: Short = Field(description="owner/name on the hub.", examples=["mlx-community/Qwen3-0.6B-4bit"])
    revision: Short = Field("main", description="Branch, tag or commit; pinned to a commit when the download starts.")


class CacheUsagePublic(BaseModel):
    """Sizes are in bytes; `num_bytes` is of complete models, `num_bytes_partial` of unfinished downloads."""

    num_bytes: int
    num_bytes_partial: int
    max_bytes: int
    free_disk_bytes: int
    num_models: int
