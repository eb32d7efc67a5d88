"""What `/admin/cache/prompts` accepts and answers."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from unified_mlx_app.api.fields import ModelName, WireModel
from unified_mlx_app.types import CacheEntryInfo


class CachedPrompt(BaseModel):
    """One stored prefix."""

    cache_key: str
    model_id: str
    prompt_preview: str
    token_count: int
    hits: int
    created_at: datetime
    last_used: datetime
    kind: str
    num_bytes: int
    tiers: list[str]


class CacheStatsBody(BaseModel):
    """Counters since start and present sizes. A look-up is one hit or one miss; warming up is neither."""

    enabled: bool
    persist: bool
    memory_entries: int
    memory_bytes: int
    disk_entries: int
    disk_bytes: int
    max_entries: int
    max_memory_bytes: int
    max_disk_bytes: int
    total_hits: int
    total_misses: int
    partial_hits: int
    hit_rate: float
    tokens_saved: int
    misses_by_reason: dict[str, int]
    memory_evictions: int
    disk_evictions: int
    quarantined: int
    disk_write_errors: int
    pending_writes: int


class WarmupBody(WireModel):
    model_id: ModelName = Field(description="Model to warm for; `default` is the default one.")
    system_prompt: Annotated[str, StringConstraints(min_length=1, max_length=4_000_000)]


class WarmupResult(BaseModel):
    """`cached_tokens` of the prompt's `token_count` were in the cache before."""

    status: Literal["warmed"]
    model_id: str
    token_count: int
    cached_tokens: int


class ClearResult(BaseModel):
    status: Literal["cleared", "deleted"]
    entries_removed: int


def cached_prompt(entry: CacheEntryInfo) -> CachedPrompt:
    return CachedPrompt(
        cache_key=entry.cache_key,
        model_id=entry.model_id,
        prompt_preview=entry.prompt_preview,
        token_count=entry.token_count,
        hits=entry.hits,
        created_at=datetime.fromtimestamp(entry.created_at, UTC),
        last_used=datetime.fromtimestamp(entry.last_used, UTC),
        kind=entry.kind,
        num_bytes=entry.num_bytes,
        tiers=list(entry.tiers),
    )
