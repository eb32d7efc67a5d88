"""What `/admin/cache/prompts` accepts and answers."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from unified_mlx_app.api.fields import ModelName, WireModel
from unified_mlx_app.services.miss_explanations import ExplainedMiss, MissExplanations
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


class VolatileSpan(BaseModel):
    """Characters `start` to `end` of the text of a message, as the model got it, in which a stored prompt had `old`.

    `message` counts the system text of `/v1/messages` and the instructions of `/v1/responses` as message 0; null: the span is in
    a text completion, or in what the chat template wrote.
    """

    message: int | None
    role: str | None
    start: int | None
    end: int | None
    kind: str
    old: str
    new: str
    lost_tokens: int
    rule: str | None
    summary: str


class ExplainedMissBody(BaseModel):
    """One request, found again by its `x-request-id`, that computed `lost_tokens` tokens which are stored."""

    at: datetime
    request_id: str | None
    model_id: str
    outcome: str
    reason: str | None
    lost_tokens: int
    suggestion: list[str]
    spans: list[VolatileSpan]


class LostTokensBody(BaseModel):
    """Everything of one kind in one message; `rule` is the built-in rule that would help."""

    model_id: str
    message: int | None
    role: str | None
    kind: str
    requests: int
    lost_tokens: int
    rule: str | None


class MissesBody(BaseModel):
    """Since the start; the latest requests with texts, up to 80 characters of each."""

    lost_tokens: int
    by_kind: list[LostTokensBody]
    recent: list[ExplainedMissBody]


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


def misses_body(misses: MissExplanations) -> MissesBody:
    totals = [
        LostTokensBody(
            model_id=total.model,
            message=total.message,
            role=total.role,
            kind=total.kind,
            requests=total.requests,
            lost_tokens=total.tokens,
            rule=total.rule,
        )
        for total in misses.totals()
    ]
    return MissesBody(
        lost_tokens=sum(total.lost_tokens for total in totals), by_kind=totals, recent=[_miss(miss) for miss in misses.recent()]
    )


def _miss(miss: ExplainedMiss) -> ExplainedMissBody:
    explanation = miss.explanation
    return ExplainedMissBody(
        at=datetime.fromtimestamp(miss.at, UTC),
        request_id=miss.request_id,
        model_id=miss.model,
        outcome=miss.outcome,
        reason=explanation.reason,
        lost_tokens=explanation.lost_tokens,
        suggestion=list(explanation.suggestion),
        spans=[VolatileSpan(**asdict(change), summary=change.summary) for change in explanation.changes],
    )
