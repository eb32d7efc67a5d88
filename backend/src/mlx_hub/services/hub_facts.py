"""What a model's page on the hub tells about it: quantisation, parameters, and the memory that serving it will take.

Every value from the hub is taken as a stranger's: of a wrong type it counts as absent.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CONTEXT_TOKENS = 4096
"""Tokens of context that the memory estimate includes."""
_KV_VALUE_BYTES = 2
_COMFORTABLE_SHARE = 0.6
# Metal lets a process wire about three quarters of the memory (MTLDevice.recommendedMaxWorkingSetSize on large Macs).
_LARGEST_SHARE = 0.75
_BITS = re.compile(r"(?:^|[-_.])(\d{1,2})-?bit(?:$|[-_.])", re.IGNORECASE)
_DEFAULT_GROUP_SIZE = 64
_TYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "U32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


class Fit(StrEnum):
    """Whether a model fits a machine's memory; `tight` leaves little for anything else."""

    YES = "yes"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Quantization:
    """`group_size` is None where only a tag or the name tells."""

    bits: int
    group_size: int | None = None

    @property
    def label(self) -> str:
        return f"{self.bits}-bit"


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_int(value: object) -> int | None:
    """`value` when it is a count; a bool or a negative number is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text_list(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def find_quantization(repo_id: str, tags: list[str], config: dict[str, Any]) -> Quantization | None:
    """From the config, else from tags such as `4-bit`, else from the name; None for a model that is not quantised."""
    for key in ("quantization", "quantization_config"):
        settings = as_dict(config.get(key))
        if bits := as_int(settings.get("bits")):
            return Quantization(bits, as_int(settings.get("group_size")))
    for text in (*tags, repo_id):
        if found := _BITS.search(text):
            bits = int(found[1])
            return Quantization(bits) if bits < 16 else None
    return None


def count_parameters(info: dict[str, Any], quantization: Quantization | None) -> int | None:
    """Parameters of the model as it was before quantisation, which packs several into each U32 of its files."""
    safetensors = as_dict(info.get("safetensors"))
    counts = _counts(safetensors)
    packed = counts.get("U32", 0)
    if quantization is None or not packed:
        return as_int(safetensors.get("total")) or sum(counts.values()) or None
    unpacked = packed * 32 // quantization.bits
    num_scales_and_biases = 2 * unpacked // (quantization.group_size or _DEFAULT_GROUP_SIZE)
    others = sum(counts.values()) - packed
    return unpacked + max(0, others - num_scales_and_biases)


def count_weight_bytes(info: dict[str, Any]) -> int | None:
    """Bytes of the weights by the number of values of each type, for answers that list no files."""
    counts = _counts(as_dict(info.get("safetensors")))
    return sum(count * _TYPE_BYTES.get(name, 1) for name, count in counts.items()) or None


def _counts(safetensors: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, value in as_dict(safetensors.get("parameters")).items() if (count := as_int(value))}


def kv_cache_bytes(config: dict[str, Any], num_tokens: int = CONTEXT_TOKENS) -> int | None:
    """Bytes of the keys and values of one sequence; None when the config does not say enough."""
    config = as_dict(config.get("text_config")) or config
    layers = as_int(config.get("num_hidden_layers"))
    heads = as_int(config.get("num_attention_heads"))
    hidden = as_int(config.get("hidden_size"))
    if not layers or not heads or not hidden:
        return None
    if latent := as_int(config.get("kv_lora_rank")):
        # Multi-head latent attention keeps one compressed vector and one rotated key for all heads.
        return layers * num_tokens * (latent + (as_int(config.get("qk_rope_head_dim")) or 0)) * _KV_VALUE_BYTES
    kv_heads = as_int(config.get("num_key_value_heads")) or heads
    head_dim = as_int(config.get("head_dim")) or hidden // heads
    return 2 * layers * num_tokens * kv_heads * head_dim * _KV_VALUE_BYTES


def fit(memory_bytes: int, machine_bytes: int) -> Fit:
    """Whether `memory_bytes` can be had on a machine with so much memory in all."""
    if memory_bytes <= machine_bytes * _COMFORTABLE_SHARE:
        return Fit.YES
    return Fit.TIGHT if memory_bytes <= machine_bytes * _LARGEST_SHARE else Fit.NO


def find_license(info: dict[str, Any], tags: list[str]) -> str | None:
    """The license that the model card names, else the one in the tags."""
    named = as_dict(info.get("cardData")).get("license")
    if isinstance(named, str):
        return named
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
