"""`/admin/cache/prompts`: look at the prompt cache, warm it, clear it."""

import msgspec
from fastapi import APIRouter, Request

from unified_mlx_app.api.admin_cache_schemas import (
    CachedPrompt,
    CacheStatsBody,
    ClearResult,
    MissesBody,
    WarmupBody,
    WarmupResult,
    cached_prompt,
    misses_body,
)
from unified_mlx_app.api.deps import CallerDep, ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.policies import needs
from unified_mlx_app.errors import NotFoundError

router = APIRouter(prefix="/admin/cache/prompts", tags=["Admin: prompt cache"])


@router.get("", summary="List cached prompts", responses=documented_errors())
@needs("admin")
async def list_cached_prompts(services: ServicesDep) -> list[CachedPrompt]:
    """Every stored prefix of both tiers with its hits."""
    return [cached_prompt(entry) for entry in await services.engine.cache_entries()]


@router.get("/stats", summary="Counters and sizes", responses=documented_errors())
@needs("read")
async def get_cache_stats(services: ServicesDep) -> CacheStatsBody:
    """Hits, misses by reason, entries and bytes of both tiers."""
    return CacheStatsBody(**msgspec.structs.asdict(await services.engine.cache_stats()))


@router.get("/misses", summary="What changing text has cost", responses=documented_errors())
@needs("admin")
async def list_misses(services: ServicesDep) -> MissesBody:
    """Spans of prompts that changed from call to call since the start: their place, kind and cost, and the rule that helps."""
    return misses_body(services.misses)


@router.post("/warmup", summary="Compute a system prompt ahead", responses=documented_errors(404, 408, 429, 500))
@needs("admin", is_audited=True)
async def warm_up(body: WarmupBody, request: Request, services: ServicesDep, caller: CallerDep) -> WarmupResult:
    """The next request that begins with this system prompt is a hit: for the same API key, where keys do not share the cache."""
    request.state.audit_target = {"model": body.model_id}
    command, report = await services.generation.warm_up(body.model_id, body.system_prompt, caller=caller)
    return WarmupResult(
        status="warmed", model_id=command.model.name, token_count=len(command.prompt), cached_tokens=report.cached_tokens
    )


@router.post("/clear", summary="Remove every entry", responses=documented_errors())
@needs("admin", is_audited=True)
async def clear_cache(services: ServicesDep) -> ClearResult:
    """Empties memory and disk, and forgets what misses were explained with."""
    services.misses.clear()
    return ClearResult(status="cleared", entries_removed=await services.engine.clear_cache())


@router.delete("/{cache_key}", summary="Remove one entry", responses=documented_errors(404))
@needs("admin", is_audited=True)
async def delete_cached_prompt(cache_key: str, services: ServicesDep) -> ClearResult:
    """Removes this entry from memory and disk, and no other."""
    num_removed = await services.engine.delete_cache_entry(cache_key)
    if num_removed == 0:
        raise NotFoundError(f"There is no cache entry {cache_key[:100]!a}.", param="cache_key")
    return ClearResult(status="deleted", entries_removed=num_removed)
