"""What clients get about models on the hub. Sizes are in bytes; what the hub does not tell is null."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from mlx_hub.models.base import Page
from mlx_hub.services.discovery import FoundModel, ModelDetails
from mlx_hub.services.hub_facts import Fit


class HubModelPublic(BaseModel):
    """One model in a list."""

    repo_id: str
    url: str = Field(description="Its page on the hub that HF_ENDPOINT names.")
    author: str
    name: str
    tags: list[str]
    task_type: str | None
    downloads: int
    likes: int
    is_gated: bool = Field(description="Its terms must be accepted on the hub, and HF_TOKEN set, before it can be downloaded.")
    quantization: str | None = Field(description="Such as 4-bit; null for a model that is not quantised.")
    num_parameters: int | None = Field(description="As they were before quantisation.")
    weight_bytes: int | None
    fits: Fit | None = Field(description="Whether serving it fits the memory of this machine.")
    created_at: datetime | None
    modified_at: datetime | None

    @classmethod
    def values_of(cls, found: FoundModel) -> dict[str, Any]:
        author, _, name = found.repo_id.partition("/")
        quantization = found.quantization.label if found.quantization else None
        return asdict(found) | {"author": author, "name": name, "quantization": quantization}


class HubPage(Page[HubModelPublic]):
    """The hub does not count: `total` is what is known to exist, `has_more` whether there are pages after this one."""

    has_more: bool


class ModelCardPublic(BaseModel):
    """Markdown; `is_truncated` when only the first 512 KiB are told."""

    repo_id: str
    commit: str
    text: str
    is_truncated: bool


class HubFilePublic(BaseModel):
    """`is_downloaded` is false for code, pickles and other formats, which are never fetched."""

    name: str
    num_bytes: int
    is_downloaded: bool


class HubModelDetails(HubModelPublic):
    """All about one model."""

    commit: str
    tokens_url: str = Field(description="The page of that hub where tokens are made.")
    license: str | None
    has_access: bool = Field(description="False for a gated model that HF_TOKEN may not read.")
    architecture: str | None
    model_type: str | None
    files: list[HubFilePublic]
    download_bytes: int
    kv_cache_bytes: int | None = Field(description="Keys and values of one sequence of `context_tokens` tokens.")
    context_tokens: int
    memory_bytes: int = Field(description="Estimate for serving: weights plus keys and values.")
    machine_memory_bytes: int

    @classmethod
    def from_details(cls, details: ModelDetails) -> "HubModelDetails":
        values = asdict(details) | cls.values_of(details.model)
        del values["model"]
        return cls.model_validate(values)
