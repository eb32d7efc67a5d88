"""What loading a model would take, before it is tried: its weights, the KV state of a context, and what is free."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unified_mlx_app.models.local_models import UnusableModelError, read_json_object
from unified_mlx_app.models.registry import KnownModel
from unified_mlx_app.types import EngineStats, ResidentModel

Verdict = Literal["loaded", "fits", "fits_after_eviction", "too_large", "unknown"]

_KV_BYTES = 2
"""Keys and values are kept with 16 bits."""
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes; None is what the model's files or a missing engine do not tell. `resident_bytes` are all weights in memory now."""

    weight_bytes: int | None
    kv_bytes_per_token: int | None
    kv_bytes: int | None
    total_bytes: int | None
    memory_limit_bytes: int | None
    resident_bytes: int
    free_bytes: int | None
    would_evict: list[str]
    verdict: Verdict
    reason: str | None


def plan_memory(model: KnownModel, stats: EngineStats | None, *, context_tokens: int) -> MemoryPlan:
    """Reads the model's config. Models that are pinned or in use are never evicted, others least recently used first."""
    per_token = kv_bytes_per_token(Path(model.path)) if model.path is not None else None
    kv_bytes = None if per_token is None else per_token * context_tokens
    residents = list(stats.resident) if stats else []
    resident_bytes = sum(resident.weight_bytes for resident in residents)
    limit_bytes = stats.memory_limit_bytes if stats else None
    free_bytes = None if stats is None else max(0, stats.memory_limit_bytes - resident_bytes - stats.kv_bytes)
    own = next((each for each in residents if (each.path, each.adapter_path) == (model.path, model.adapter_path)), None)
    needed_bytes = _needed_bytes(model, residents)
    total_bytes = None if needed_bytes is None else needed_bytes + (kv_bytes or 0)
    evicted: list[ResidentModel] = []
    if own is not None:
        verdict, reason = "loaded", None
    elif total_bytes is None:
        verdict, reason = "unknown", "The base model's files are not on this machine."
    elif free_bytes is None:
        verdict, reason = "unknown", "The engine is not running, so what is free is not known."
    else:
        evicted = _evictions(model, residents, missing_bytes=total_bytes - free_bytes)
        freed_bytes = sum(each.weight_bytes for each in evicted)
        verdict, reason = _verdict(total_bytes, free_bytes + freed_bytes, has_evicted=bool(evicted))
    return MemoryPlan(
        weight_bytes=needed_bytes if own is None else own.weight_bytes,
        kv_bytes_per_token=per_token,
        kv_bytes=kv_bytes,
        total_bytes=total_bytes,
        memory_limit_bytes=limit_bytes,
        resident_bytes=resident_bytes,
        free_bytes=free_bytes,
        would_evict=[each.name for each in evicted] if verdict == "fits_after_eviction" else [],
        verdict=verdict,
        reason=reason,
    )


def _needed_bytes(model: KnownModel, residents: list[ResidentModel]) -> int | None:
    """Weights that are not in memory yet; an adapter needs its base as well."""
    if model.weight_bytes is None:
        return None
    has_base = any((each.path, each.adapter_path) == (model.path, None) for each in residents)
    base_bytes = 0 if model.adapter_path is not None and has_base else model.weight_bytes
    return base_bytes + (_adapter_bytes(Path(model.adapter_path)) if model.adapter_path is not None else 0)


def _adapter_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors") if path.is_file())


def _evictions(model: KnownModel, residents: list[ResidentModel], *, missing_bytes: int) -> list[ResidentModel]:
    """Idle models, least recently used first, until enough is free or none is left; adapters go before their base."""
    chosen: list[ResidentModel] = []
    for each in sorted(residents, key=lambda resident: (resident.adapter_path is None, resident.last_used_at)):
        if missing_bytes <= 0:
            break
        others = [other for other in residents if other not in chosen and other.path == each.path and other is not each]
        is_held = each.adapter_path is None and (bool(others) or each.path == model.path)
        if each.pinned or each.num_active or is_held:
            continue
        chosen.append(each)
        missing_bytes -= each.weight_bytes
    return chosen


def _verdict(needed_bytes: int, room_bytes: int, *, has_evicted: bool) -> tuple[Verdict, str | None]:
    if needed_bytes > room_bytes:
        return "too_large", f"It needs {needed_bytes:,} bytes, and {room_bytes:,} can be free beside what has to stay."
    return ("fits_after_eviction", None) if has_evicted else ("fits", None)


def kv_bytes_per_token(folder: Path) -> int | None:
    """As if every layer kept all tokens: layers with a window or a fixed state take less. None if the config does not tell."""
    try:
        config = read_json_object(folder / "config.json")
    except UnusableModelError:
        return None
    config = next((config[name] for name in _TEXT_CONFIGS if isinstance(config.get(name), dict)), config)
    num_layers = _count(config, "num_hidden_layers", "n_layer", "n_layers")
    num_heads = _count(config, "num_attention_heads", "n_head")
    num_kv_heads = _count(config, "num_key_value_heads") or num_heads
    hidden_size = _count(config, "hidden_size", "n_embd", "d_model")
    head_dim = _count(config, "head_dim") or (hidden_size // num_heads if hidden_size and num_heads else None)
    if num_layers is None or num_kv_heads is None or head_dim is None:
        return None
    return 2 * num_layers * num_kv_heads * head_dim * _KV_BYTES


def _count(config: dict[str, Any], *names: str) -> int | None:
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), None)
