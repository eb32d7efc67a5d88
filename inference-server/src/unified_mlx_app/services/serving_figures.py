"""The engine's figures at one moment, from its heartbeats: how busy it is, how fast, and what the prompt cache does."""

import time
from dataclasses import dataclass

from unified_mlx_app.engine.client import EngineStatus
from unified_mlx_app.observability.recent import RecentValues
from unified_mlx_app.types import EngineStats

_MAX_AGE_SECONDS = 5.0
"""An engine that was silent for longer computes something long, or hangs: what it did meanwhile is unknown."""


@dataclass(frozen=True, slots=True)
class ServingReading:
    """Speeds are of the second before, None when no two heartbeats of one engine tell them; counters are since its start."""

    running: int
    queued: int
    prompt_tokens_per_second: float | None
    """Prompt tokens that were computed; those from the cache are not."""
    decode_tokens_per_second: float | None
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None
    cache_hits: int
    cache_misses: int
    tokens_saved: int
    misses_by_reason: dict[str, int]
    memory_entries: int
    memory_bytes: int
    disk_entries: int
    disk_bytes: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class _Speed:
    prompt: float | None
    decode: float | None


class ServingFigures:
    """Remembers the heartbeat before the newest one. Event loop only."""

    def __init__(self, recent_ttft: RecentValues) -> None:
        self._recent_ttft = recent_ttft
        self._newest: tuple[float, EngineStats] | None = None
        self._speed = _Speed(None, None)

    def read(self, status: EngineStatus) -> ServingReading | None:
        """None while there is no engine, or it has been silent for some time."""
        stats = status.stats
        if stats is None or status.pid != stats.pid or time.monotonic() - status.stats_at > _MAX_AGE_SECONDS:
            self._newest, self._speed = None, _Speed(None, None)
            return None
        if self._newest is None or self._newest[1] is not stats:
            self._speed = _speed(self._newest, status.stats_at, stats)
            self._newest = (status.stats_at, stats)
        p50, p95 = self._recent_ttft.percentiles(50, 95)
        cache = stats.cache
        return ServingReading(
            running=stats.num_running,
            queued=stats.num_waiting,
            prompt_tokens_per_second=self._speed.prompt,
            decode_tokens_per_second=self._speed.decode,
            ttft_p50_seconds=p50,
            ttft_p95_seconds=p95,
            cache_hits=cache.total_hits,
            cache_misses=cache.total_misses,
            tokens_saved=cache.tokens_saved,
            misses_by_reason=cache.misses_by_reason,
            memory_entries=cache.memory_entries,
            memory_bytes=cache.memory_bytes,
            disk_entries=cache.disk_entries,
            disk_bytes=cache.disk_bytes,
            kv_bytes=stats.kv_bytes,
        )


def _speed(before: tuple[float, EngineStats] | None, at: float, stats: EngineStats) -> _Speed:
    if before is None or before[1].pid != stats.pid or at <= before[0]:
        return _Speed(None, None)
    seconds = at - before[0]
    return _Speed(
        prompt=round((stats.prefilled_tokens - before[1].prefilled_tokens) / seconds, 2),
        decode=round((stats.generated_tokens - before[1].generated_tokens) / seconds, 2),
    )
